/** The path of a control: `createGrant` stands at `/create-grant`. */
export function controlPath(name: string): string {
  return `/${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
}
