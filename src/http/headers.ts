/** On every response, errors included: tokens pass here, so nothing may keep, frame, sniff or embed what we say. */
export const CONSTANT_HEADERS: Readonly<Record<string, string>> = {
  'cache-control': 'no-store',
  pragma: 'no-cache',
  'x-content-type-options': 'nosniff',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin'
}
