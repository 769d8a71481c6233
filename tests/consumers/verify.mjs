// Checks a live token server with jose and openid-client.
// Prints a line per check, `ok TEXT` or `not ok TEXT`; hack/consumers.sh starts it.

import { readFileSync } from 'node:fs'
import * as jose from 'jose'
import * as openid from 'openid-client'

const { ISSUER, ALGORITHM, KEY_ID, SECRET_FILE } = process.env
const secret = readFileSync(SECRET_FILE, 'utf8')
const roles = ['build-viewer', 'build-operator']

let failures = 0

async function check(text, holds) {
  let result = false
  try {
    result = await holds()
  } catch (error) {
    text += ` (${error.name}: ${error.message})`
  }
  if (!result) failures += 1
  console.log(result ? 'ok' : 'not ok', `${ALGORITHM}: ${text}`)
}

async function raises(code, act) {
  try {
    await act()
  } catch (error) {
    return error.code === code
  }
  return false
}

const discover = (algorithm, auth) =>
  openid.discovery(new URL(ISSUER), KEY_ID, undefined, auth, {
    algorithm,
    execute: [openid.allowInsecureRequests], // plain HTTP on this machine
  })

for (const algorithm of ['oidc', 'oauth2']) {
  for (const auth of [openid.ClientSecretBasic, openid.ClientSecretPost]) {
    await check(`openid-client discovers (${algorithm}) and gets a token by ${auth.name}`, async () => {
      const config = await discover(algorithm, auth(secret))
      return (await openid.clientCredentialsGrant(config)).token_type === 'bearer'
    })
  }
}

const config = await discover('oauth2', openid.ClientSecretBasic(secret))
const { access_token: token } = await openid.clientCredentialsGrant(config)
await check('openid-client gets fewer roles by scope', async () => {
  const narrow = await openid.clientCredentialsGrant(config, { scope: 'build-viewer' })
  return narrow.scope === 'build-viewer'
})
await check('openid-client introspects the token', async () => {
  const seen = await openid.tokenIntrospection(config, token)
  return seen.active && seen.scope === roles.join(' ')
})
await check('openid-client introspects nonsense as inactive', async () => {
  const seen = await openid.tokenIntrospection(config, 'nonsense')
  return seen.active === false
})
await check('openid-client gets the error for a scope that is too wide', async () => {
  try {
    await openid.clientCredentialsGrant(config, { scope: 'admin' })
  } catch (error) {
    return error instanceof openid.ResponseBodyError && error.error === 'invalid_scope'
  }
})
await check('openid-client gets the error for a wrong secret', async () => {
  const wrong = await discover('oauth2', openid.ClientSecretBasic('wrong'))
  try {
    await openid.clientCredentialsGrant(wrong)
  } catch (error) {
    return error instanceof openid.WWWAuthenticateChallengeError && error.status === 401
  }
})

const keys = jose.createRemoteJWKSet(new URL(config.serverMetadata().jwks_uri))
const wanted = {
  issuer: ISSUER,
  audience: ISSUER,
  algorithms: [ALGORITHM],
  typ: 'at+jwt',
  requiredClaims: ['exp', 'nbf', 'iat', 'sub', 'jti', 'client_id'],
}
await check('jose verifies the token', async () => {
  const { payload } = await jose.jwtVerify(token, keys, wanted)
  return JSON.stringify(payload.roles) === JSON.stringify(roles)
})
await check('jose accepts the token with a clock 4 s behind', async () => {
  const currentDate = new Date((jose.decodeJwt(token).iat - 4) * 1000)
  return (await jose.jwtVerify(token, keys, { ...wanted, currentDate })).payload.iss === ISSUER
})
await check('jose refuses the token with other claims', () => {
  const [head, , signature] = token.split('.')
  const claims = { ...jose.decodeJwt(token), roles: ['admin'] }
  const forged = [head, jose.base64url.encode(JSON.stringify(claims)), signature].join('.')
  return raises('ERR_JWS_SIGNATURE_VERIFICATION_FAILED', () => jose.jwtVerify(forged, keys, wanted))
})
await check('jose refuses the token for another audience', () => {
  const other = { ...wanted, audience: 'other' }
  return raises('ERR_JWT_CLAIM_VALIDATION_FAILED', () => jose.jwtVerify(token, keys, other))
})
process.exitCode = failures ? 1 : 0
