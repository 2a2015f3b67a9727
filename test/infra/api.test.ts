import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { gatewayRoutes, invokePatterns, isAllowed, sampleOf, type Work } from '../../infra/routes.ts'
import { allRoutes } from '../../lib/http/faces.ts'
import { createRouter } from '../../lib/http/router.ts'
import { flat, isLike } from './policies.ts'
import { type Contexts, ofType, type Properties, synthesise } from './synthesis.ts'

/** Routes by key, each with the function that it reaches. */
function routesOf(contexts: Contexts = {}): Map<string, Properties & { readonly reaches: string }> {
  const { resources } = synthesise(contexts)
  const functionOf = (target: unknown) => {
    const [, integration] = flat(target).match(/^integrations\/<(\w+)>$/) ?? []
    const uri = flat(resources[integration ?? '']?.Properties.IntegrationUri)
    return String(resources[uri.slice(1, -'.Arn>'.length)]?.Properties.Description).slice('Highwater: '.length)
  }
  return new Map(
    ofType(resources, 'AWS::ApiGatewayV2::Route').map(([, { Properties }]) => [
      Properties.RouteKey as string,
      { ...Properties, reaches: functionOf(Properties.Target) },
    ]),
  )
}

function only(contexts: Contexts, type: string): Properties {
  const found = ofType(synthesise(contexts).resources, type)
  assert.equal(found.length, 1, type)
  return found[0]![1].Properties
}

describe('the routes of the API', () => {
  const routes = routesOf()

  it('are those of the app, under every prefix, each to the function of its work', () => {
    for (const { method, path, prefixes = [''], work } of allRoutes)
      for (const prefix of prefixes)
        assert.equal(routes.get(`${method} ${prefix}${path}`)?.reaches, work, `${method} ${prefix}${path}`)
    const head = gatewayRoutes.filter(({ method }) => method === 'HEAD')
    assert.ok(head.length > 0)
    assert.equal(routes.size, gatewayRoutes.length + 1)
  })

  it('end in admin for everything else, which answers in our own words', () => {
    assert.equal(routes.get('$default')?.reaches, 'admin')
  })

  it('share an integration for each work, whose name does not depend on which of them comes first', () => {
    const integrations = ofType(synthesise().resources, 'AWS::ApiGatewayV2::Integration').map(([id]) => id)
    for (const work of new Set(gatewayRoutes.map((route) => route.work)))
      assert.ok(
        integrations.some((id) => id.endsWith(`${work}Integration`) && id.startsWith('HighwaterLogHttp')),
        work,
      )
  })

  it('are fewer than an API may have', () => assert.ok(routes.size <= 300, `${routes.size}`))

  it('may be reached by the API, the one of everything else too, whose requests have no method and no path', () => {
    const { resources } = synthesise()
    const sources = ofType(resources, 'AWS::Lambda::Permission').map(([, { Properties }]) => {
      assert.equal(Properties.Principal, 'apigateway.amazonaws.com')
      return [flat(Properties.FunctionName), flat(Properties.SourceArn)] as const
    })
    const { reaches: _, ...byDefault } = routes.get('$default')!
    const [, integration] = flat(byDefault.Target).match(/<(\w+)>/)!
    const admin = flat(resources[integration!]?.Properties.IntegrationUri)
    const api = 'arn:<AWS::Partition>:execute-api:<AWS::Region>:<AWS::AccountId>:<LogHttpApi2A11B3D6>'
    assert.ok(sources.some(([on, source]) => on === admin && isLike(source, `${api}/$default/$default`)))
    assert.equal(new Set(sources.map(([on]) => on)).size, new Set(gatewayRoutes.map(({ work }) => work)).size)
    for (const [on] of sources)
      assert.ok(
        sources.some(([of, source]) => of === on && isLike(source, `${api}/$default/GET/topics`)),
        on,
      )
  })
})

describe('what may be asked for with signed requests', () => {
  const works = ['produce', 'fetch', 'consume', 'admin', 'verify'] as const

  for (const granted of [['produce'], ['fetch', 'consume'], ['admin', 'verify']] as const)
    it(`is ${granted.join(' and ')}, what is open to every caller, and nothing else`, () => {
      const patterns = invokePatterns(...granted)
      for (const route of gatewayRoutes) {
        const isOpen = route.need === 'any-key' || route.need === 'anybody'
        const isGranted = (granted as readonly Work[]).includes(route.work) || isOpen
        const isImplied = granted[0] === 'admin' && route.work === 'consume' && route.method !== 'POST'
        if (!isGranted && !isImplied)
          for (const pattern of patterns)
            assert.ok(!isAllowed(pattern, sampleOf(route)), `${pattern} ${sampleOf(route)}`)
      }
    })

  it('leaves out no route of producing and of consuming', () => {
    for (const granted of [['produce'], ['fetch', 'consume']] as const)
      for (const route of gatewayRoutes.filter(({ work }) => (granted as readonly Work[]).includes(work)))
        assert.ok(
          invokePatterns(...granted).some((pattern) => isAllowed(pattern, sampleOf(route))),
          sampleOf(route),
        )
  })

  it('leaves out what of administration would take in reading records, all of which v3 has as well', () => {
    const out = gatewayRoutes.filter(
      (route) =>
        route.work === 'admin' && !invokePatterns('admin').some((pattern) => isAllowed(pattern, sampleOf(route))),
    )
    assert.deepEqual(
      out.map(({ method, path }) => `${method} ${path}`),
      ['GET /topics/{topic}', 'GET /topics/{topic}/partitions/{partition}'],
    )
  })

  it('comes to a route that the app knows', () => {
    const router = createRouter(allRoutes)
    for (const route of gatewayRoutes) {
      const { path } = route
      const match = router.match(route.method, path.replaceAll(/\{[^}]+\}/g, 'x'), 'application/json')
      assert.notEqual(match.kind, 'unknown-path', path)
      assert.ok(works.includes(route.work))
    }
  })
})

describe('who may call', () => {
  it('is asked with every request: signatures where nothing else is said', () => {
    for (const [key, { AuthorizationType }] of routesOf()) assert.equal(AuthorizationType, 'AWS_IAM', key)
    assert.equal(ofType(synthesise().resources, 'AWS::ApiGatewayV2::Authorizer').length, 0)
  })

  it('can be told by tokens of an issuer for an audience', () => {
    const contexts = { auth: 'jwt', jwtIssuer: 'https://login.example/', jwtAudience: 'log,other' }
    for (const [key, { AuthorizationType }] of routesOf(contexts)) assert.equal(AuthorizationType, 'JWT', key)
    const authorizer = only(contexts, 'AWS::ApiGatewayV2::Authorizer')
    assert.deepEqual(authorizer.JwtConfiguration, { Issuer: 'https://login.example/', Audience: ['log', 'other'] })
    assert.deepEqual(authorizer.IdentitySource, ['$request.header.Authorization'])
  })

  it('can be told by the scopes of tokens, work by work', () => {
    const contexts = { auth: 'jwt', jwtIssuer: 'https://login.example/', jwtAudience: 'log', jwtScopes: 'highwater/' }
    const routes = routesOf(contexts)
    for (const { method, path, need } of gatewayRoutes)
      assert.deepEqual(
        routes.get(`${method} ${path}`)?.AuthorizationScopes,
        need === 'any-key' || need === 'anybody' ? undefined : [`highwater/${need}`],
        path,
      )
    assert.deepEqual(routes.get('$default')?.AuthorizationScopes, ['highwater/admin'])
    for (const [key, { AuthorizationScopes }] of routesOf({ ...contexts, jwtScopes: '' }))
      assert.equal(AuthorizationScopes, undefined, key)
  })

  it('can be told by API keys: a function decides by key and route, and is believed for five minutes', () => {
    const contexts = { auth: 'api-keys' }
    const authorizer = only(contexts, 'AWS::ApiGatewayV2::Authorizer')
    assert.equal(authorizer.AuthorizerType, 'REQUEST')
    assert.equal(authorizer.AuthorizerPayloadFormatVersion, '2.0')
    assert.equal(authorizer.EnableSimpleResponses, true)
    assert.equal(authorizer.AuthorizerResultTtlInSeconds, 300)
    assert.deepEqual(authorizer.IdentitySource, ['$request.header.Authorization', '$context.routeKey'])
    const open = gatewayRoutes.filter(({ need }) => need === 'anybody').map(({ method, path }) => `${method} ${path}`)
    for (const [key, { AuthorizationType }] of routesOf(contexts))
      assert.equal(AuthorizationType, open.includes(key) ? 'NONE' : 'CUSTOM', key)
    assert.ok(
      open.every((key) => key.startsWith('GET /health')),
      `${open}`,
    )
  })

  it('is nobody’s business only where that was asked for, with a warning that strict synthesis does not let pass', () => {
    const { warnings } = synthesise({ auth: 'none' })
    for (const [key, { AuthorizationType }] of routesOf({ auth: 'none' })) assert.equal(AuthorizationType, 'NONE', key)
    assert.equal(warnings.length, 1)
    assert.match(warnings[0]!, /auth=none: everybody who finds the URL can read, write and delete everything/)
    for (const contexts of [{}, { auth: 'api-keys' }, { stacks: 'separate' }, { compute: 'web' }])
      assert.deepEqual(synthesise(contexts).warnings, [], JSON.stringify(contexts))
  })
})

describe('the API', () => {
  const stage = only({}, 'AWS::ApiGatewayV2::Stage')

  it('takes a bounded number of requests, fewer where topics are made and deleted', () => {
    assert.deepEqual(stage.DefaultRouteSettings, { ThrottlingBurstLimit: 2_000, ThrottlingRateLimit: 1_000 })
    const limited = Object.keys(stage.RouteSettings)
    assert.deepEqual(
      limited.sort(),
      gatewayRoutes
        .filter(({ work }) => work === 'admin' || work === 'verify')
        .map(({ method, path }) => `${method} ${path}`)
        .sort(),
    )
    for (const settings of Object.values(stage.RouteSettings))
      assert.deepEqual(settings, { ThrottlingBurstLimit: 100, ThrottlingRateLimit: 50 })
  })

  it('is deployed after the routes that its settings name', () => {
    const { resources } = synthesise()
    const [, made] = ofType(resources, 'AWS::ApiGatewayV2::Stage')[0]!
    for (const [id] of ofType(resources, 'AWS::ApiGatewayV2::Route')) assert.ok(made.DependsOn?.includes(id), id)
  })

  it('writes a line of JSON per request that says why, and holds neither header, query nor body', () => {
    const format = JSON.parse(stage.AccessLogSettings.Format) as Record<string, string>
    for (const field of ['requestId', 'method', 'path', 'status', 'reason', 'authorizerError', 'integrationError'])
      assert.ok(field in format, field)
    assert.ok(!/header|query|body|token|secret/i.test(JSON.stringify(format)))
    const group = synthesise().resources[stage.AccessLogSettings.DestinationArn['Fn::GetAtt'][0]]
    assert.equal(group?.Properties.RetentionInDays, 30)
    assert.match(group?.Properties.LogGroupName, /^\/aws\/vendedlogs\//)
  })

  it('answers pages of other origins where they are named, preflights before anybody is asked who he is', () => {
    assert.equal(only({}, 'AWS::ApiGatewayV2::Api').CorsConfiguration, undefined)
    const { CorsConfiguration } = only({ cors: 'https://a.example' }, 'AWS::ApiGatewayV2::Api')
    assert.deepEqual(CorsConfiguration.AllowOrigins, ['https://a.example'])
    assert.deepEqual(CorsConfiguration.AllowMethods, ['*'])
    assert.ok(CorsConfiguration.AllowHeaders.includes('Authorization'))
    assert.ok(CorsConfiguration.ExposeHeaders.includes('Highwater-Next-Offset'))
    assert.equal(CorsConfiguration.AllowCredentials, undefined)
  })
})

describe('function URLs', () => {
  const contexts = { functionUrl: 'true', cors: 'https://a.example' }
  const urls = ofType(synthesise(contexts).resources, 'AWS::Lambda::Url').map(([, { Properties }]) => Properties)

  it('are there where they were asked for: whole answers for produce, streams for fetch', () => {
    assert.equal(ofType(synthesise().resources, 'AWS::Lambda::Url').length, 0)
    assert.deepEqual(urls.map(({ AuthType, InvokeMode }) => `${AuthType} ${InvokeMode}`).sort(), [
      'AWS_IAM BUFFERED',
      'AWS_IAM RESPONSE_STREAM',
    ])
    assert.deepEqual(urls[0]?.Cors.AllowOrigins, ['https://a.example'])
  })

  it('stream from a function of their own, which the API never calls', () => {
    const { resources } = synthesise(contexts)
    const streaming = ofType(resources, 'AWS::Lambda::Function').filter(
      ([, { Properties }]) => Properties.Environment?.Variables.HIGHWATER_STREAM_ANSWERS === 'true',
    )
    assert.equal(streaming.length, 1)
    const [id] = streaming[0]!
    assert.equal(
      urls.find(({ InvokeMode }) => InvokeMode === 'RESPONSE_STREAM')?.TargetFunctionArn['Fn::GetAtt'][0],
      id,
    )
    for (const [, { Properties }] of ofType(resources, 'AWS::ApiGatewayV2::Integration'))
      assert.notEqual(flat(Properties.IntegrationUri), `<${id}.Arn>`)
  })

  it('are open to everybody only with auth none, which takes two permissions', () => {
    const { resources } = synthesise({ functionUrl: 'true', auth: 'none' })
    for (const [, { Properties }] of ofType(resources, 'AWS::Lambda::Url')) assert.equal(Properties.AuthType, 'NONE')
    const everybody = ofType(resources, 'AWS::Lambda::Permission').filter(
      ([, { Properties }]) => Properties.Principal === '*',
    )
    assert.deepEqual(everybody.map(([, { Properties }]) => Properties.Action).sort(), [
      'lambda:InvokeFunction',
      'lambda:InvokeFunction',
      'lambda:InvokeFunctionUrl',
      'lambda:InvokeFunctionUrl',
    ])
    for (const each of [{ functionUrl: 'true' }, {}])
      for (const [, { Properties }] of ofType(synthesise(each).resources, 'AWS::Lambda::Permission'))
        assert.notEqual(Properties.Principal, '*')
  })
})
