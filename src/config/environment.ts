import { Secret } from '../domain/secret.ts'

/** What the program takes from its environment. Everything else comes from the configuration file. */
export interface Environment {
  /** `BROKER_CONFIG`: path of the configuration file where `--config` is not given. */
  readonly configPath: string | undefined
  /** `REDIS_URL`: the Redis that demo and tests use. */
  readonly redisUrl: Secret | undefined
  /** `LOG_LEVEL`: wins over `log.level`. */
  readonly logLevel: string | undefined
  /** `DEBUG`: some libraries print secrets when it names them. */
  readonly debug: string | undefined
  /** Any other variable, for `{ env: NAME }` in the configuration. */
  get(name: string): string | undefined
}

/** The environment of this process. The only place that reads it. */
export function readEnvironment(): Environment {
  return createEnvironment(process.env)
}

/** An environment of the given variables. An empty variable counts as not set. */
export function createEnvironment(variables: { readonly [name: string]: string | undefined }): Environment {
  const get = (name: string) => (Object.hasOwn(variables, name) ? variables[name] || undefined : undefined)
  const redisUrl = get('REDIS_URL')
  return {
    configPath: get('BROKER_CONFIG'),
    redisUrl: redisUrl === undefined ? undefined : new Secret(redisUrl),
    logLevel: get('LOG_LEVEL'),
    debug: get('DEBUG'),
    get
  }
}
