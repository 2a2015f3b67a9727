/** The few things that the tests themselves ask of the cloud, of services whose SDK clients nothing else needs. */
import assert from 'node:assert/strict'
import { AwsClient } from 'aws4fetch'
import type { Cloud } from './cloud.ts'

/** A request to a service that speaks JSON over REST. */
export async function ask(
  cloud: Cloud,
  service: string,
  method: string,
  path: string,
  body?: object,
): Promise<unknown> {
  const response = await signedBy(cloud, service).fetch(`${cloud.endpoint}${path}`, {
    method,
    ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
  })
  const text = await response.text()
  assert.ok(response.ok, `${service} ${method} ${path}: ${response.status} ${text}`)
  return text === '' ? undefined : JSON.parse(text)
}

/** A request to a service that takes forms and answers XML. */
export async function askForm(cloud: Cloud, service: string, form: Readonly<Record<string, string>>): Promise<string> {
  const response = await signedBy(cloud, service).fetch(`${cloud.endpoint}/`, {
    method: 'POST',
    body: new URLSearchParams(form).toString(),
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
  })
  const text = await response.text()
  assert.ok(response.ok, `${service} ${form.Action}: ${response.status} ${text}`)
  return text
}

/** A request to a service that speaks JSON and names the operation in a header. */
export async function askJson(cloud: Cloud, service: string, target: string, body: object): Promise<unknown> {
  const response = await signedBy(cloud, service).fetch(`${cloud.endpoint}/`, {
    method: 'POST',
    body: JSON.stringify(body),
    headers: { 'content-type': 'application/x-amz-json-1.1', 'x-amz-target': target },
  })
  const text = await response.text()
  assert.ok(response.ok, `${target}: ${response.status} ${text}`)
  return JSON.parse(text)
}

function signedBy({ credentials, region }: Cloud, service: string): AwsClient {
  return new AwsClient({ ...credentials, region, service, retries: 0 })
}
