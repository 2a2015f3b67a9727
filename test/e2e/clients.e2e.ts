/**
 * Tools that know nothing of Highwater, against the running server: curl, Python's standard library, and the published
 * clients of the Kafka REST proxy that there are. Of these, kafka-rest (npm, Confluent's own) was written for v1 and speaks v2
 * when it is told that it may; nlp-kafka-rest-api (PyPI) produces in v2. Both want consumer groups for reading, which this
 * server does not have yet. kafka-rest-client (npm) was looked at too: it speaks v1 to a proxy of its company.
 */
import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { nativeCodecs } from '../../lib/adapters/codecs-native.ts'
import { decodeBatch, encodeBatch } from '../../lib/core/record-batch.ts'
import { readTopic } from './producers.ts'
import { projectDirectory, run, startServerProcess, tempDirectory } from './server-process.ts'

const jsonV2 = 'Content-Type: application/vnd.kafka.json.v2+json'
const binaryV2 = 'Content-Type: application/vnd.kafka.binary.v2+json'
const raw = 'application/vnd.highwater.batches.v1'

async function setUp(t: TestContext): Promise<{ url: string; directory: string }> {
  const directory = await tempDirectory(t)
  const { url } = await startServerProcess(t, ['--data', join(directory, 'data')])
  return { url, directory }
}

/** The status and the body, as text. */
async function curl(...args: string[]): Promise<{ status: number; body: string }> {
  const { code, stdout, stderr } = await run('curl', [
    '--silent',
    '--show-error',
    '--write-out',
    '\n%{http_code}',
    ...args,
  ])
  assert.equal(code, 0, stderr)
  const end = stdout.lastIndexOf('\n')
  return { status: Number(stdout.slice(end + 1)), body: stdout.slice(0, end) }
}

async function createTopic(url: string, name: string, partitions: number): Promise<void> {
  const request = JSON.stringify({ topic_name: name, partitions_count: partitions })
  const created = await curl(`${url}/v3/clusters/${await clusterOf(url)}/topics`, '--json', request)
  assert.equal(created.status, 201, created.body)
}

async function clusterOf(url: string): Promise<string> {
  const { body } = await curl(`${url}/v3/clusters`)
  return (JSON.parse(body) as { data: { cluster_id: string }[] }).data[0]!.cluster_id
}

test('curl speaks v2', async (t) => {
  const { url } = await setUp(t)
  await createTopic(url, 'orders', 2)
  assert.deepEqual(JSON.parse((await curl(`${url}/topics`)).body), ['orders'])

  const posted = await curl(
    `${url}/topics/orders`,
    '-H',
    jsonV2,
    '-d',
    '{"records":[{"key":"a","value":{"n":1}},{"key":"a","value":[2]}]}',
  )
  assert.equal(posted.status, 200)
  const { offsets } = JSON.parse(posted.body) as { offsets: { partition: number; offset: number }[] }
  const { partition } = offsets[0]!
  assert.deepEqual(
    offsets.map(({ offset }) => offset),
    [0, 1],
  )

  const binary = await curl(
    `${url}/topics/orders/partitions/${partition}`,
    '-H',
    binaryV2,
    '-d',
    '{"records":[{"value":"AAEC"}]}',
  )
  assert.equal((JSON.parse(binary.body) as typeof posted & { offsets: { offset: number }[] }).offsets[0]!.offset, 2)

  const records = `${url}/topics/orders/partitions/${partition}/records`
  const read = await curl(`${records}?offset=0&max_records=2`, '-H', 'Accept: application/vnd.kafka.json.v2+json')
  assert.deepEqual(
    (JSON.parse(read.body) as { value: unknown }[]).map(({ value }) => value),
    [{ n: 1 }, [2]],
  )
  const wrong = await curl(`${url}/topics/nobody`, '-H', jsonV2, '-d', '{"records":[{"value":1}]}')
  assert.equal(wrong.status, 404)
  assert.equal((JSON.parse(wrong.body) as { error_code: number }).error_code, 40401)
})

test('curl sends a request twice under one Idempotency-Key and gets one record', async (t) => {
  const { url } = await setUp(t)
  await createTopic(url, 't', 1)
  const send = () =>
    curl(`${url}/topics/t`, '-H', jsonV2, '-H', 'Idempotency-Key: order-17', '-d', '{"records":[{"value":1}]}')
  assert.equal((await send()).body, (await send()).body)
  assert.equal((await readTopic(url, 't', 1))[0]!.length, 1)
})

test('curl speaks v3', async (t) => {
  const { url } = await setUp(t)
  await createTopic(url, 'orders', 3)
  const topic = `${url}/v3/clusters/${await clusterOf(url)}/topics/orders`
  assert.equal((JSON.parse((await curl(topic)).body) as { partitions_count: number }).partitions_count, 3)

  // The stream of v3: requests one behind the other in one body, answers likewise.
  const stream = [
    '{"key":{"type":"STRING","data":"k"},"value":{"type":"JSON","data":{"n":1}}}',
    '{"value":{"type":"BINARY","data":"AAEC"}}',
  ]
  const posted = await curl(`${topic}/records`, '--json', stream.join('\n'))
  assert.equal(posted.status, 200)
  const answers = posted.body
    .trim()
    .split(/\r?\n(?=\{)/)
    .map((text) => JSON.parse(text) as { error_code: number })
  assert.deepEqual(
    answers.map((answer) => answer.error_code),
    [200, 200],
    posted.body,
  )
  const altered = await curl('-X', 'PUT', `${topic}/configs/retention.ms`, '--json', '{"value":"60000"}')
  assert.equal(altered.status, 204)
  const config = JSON.parse((await curl(`${topic}/configs/retention.ms`)).body) as {
    value: string
    is_default: boolean
  }
  assert.deepEqual([config.value, config.is_default], ['60000', false])
  assert.equal((await curl('-X', 'DELETE', topic)).status, 204)
  assert.equal((await curl(topic)).status, 404)
})

test('curl sends and fetches record batches as files', async (t) => {
  const { url, directory } = await setUp(t)
  await createTopic(url, 'raw', 1)
  const values = Array.from({ length: 5_000 }, (_, index) => Buffer.from(`value ${index} `.repeat(20)))
  const batch = encodeBatch(
    { compression: 'none', records: values.map((value) => ({ timestampMs: Date.now(), key: null, value })) },
    nativeCodecs,
  )
  assert.ok(batch.length > 1_000_000, 'so large that curl asks before it sends')
  const [sent, zipped, fetched] = ['sent', 'sent.gz', 'fetched'].map((name) => join(directory, name)) as [
    string,
    string,
    string,
  ]
  await writeFile(sent, batch)
  await writeFile(zipped, gzipSync(batch))
  const partition = `${url}/topics/raw/partitions/0`
  const post = ['-H', `Content-Type: ${raw}`, '--max-time', '20']
  // The batch is larger than a topic takes by default.
  const topic = `${url}/v3/clusters/${await clusterOf(url)}/topics/raw`
  assert.equal(
    (await curl('-X', 'PUT', `${topic}/configs/max.message.bytes`, '--json', '{"value":"4000000"}')).status,
    204,
  )
  assert.equal((await curl(partition, ...post, '--data-binary', `@${sent}`)).status, 200)
  assert.equal(
    (await curl(partition, ...post, '-H', 'Content-Encoding: gzip', '--data-binary', `@${zipped}`)).status,
    200,
  )

  assert.equal(
    (await curl(`${partition}/records?offset=5000&max_bytes=1`, '-H', `Accept: ${raw}`, '-o', fetched)).status,
    200,
  )
  const stored = decodeBatch(new Uint8Array(await readFile(fetched)), 0, nativeCodecs, 1e8)
  assert.ok(stored.ok)
  assert.equal(stored.records[0]!.offset, 5_000)
  assert.deepEqual(
    stored.records.map(({ value }) => Buffer.from(value!)),
    values,
  )

  const tooLarge = await curl(partition, ...post, '--data-binary', `@${await fileOf(directory, 5_000_000)}`)
  assert.equal(tooLarge.status, 413)
})

async function fileOf(directory: string, bytes: number): Promise<string> {
  const path = join(directory, 'large')
  await writeFile(path, Buffer.alloc(bytes))
  return path
}

const pythonScript = `
import base64, json, sys, threading, urllib.error, urllib.request

url = sys.argv[1]

def ask(method, path, body=None, headers={}):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data=data, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            text = answer.read()
            return answer.status, json.loads(text) if text else None
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())

json_v2 = {"Content-Type": "application/vnd.kafka.json.v2+json"}
cluster = ask("GET", "/v3/clusters")[1]["data"][0]["cluster_id"]
status, _ = ask("POST", f"/v3/clusters/{cluster}/topics", {"topic_name": "py", "partitions_count": 1}, {"Content-Type": "application/json"})
assert status == 201, status

# A reader that waits is woken by a producer.
woken = {}
def wait():
    woken["answer"] = ask("GET", "/topics/py/partitions/0/records?offset=0&timeout=15000", headers={"Accept": "application/vnd.kafka.json.v2+json"})
reader = threading.Thread(target=wait)
reader.start()
status, answer = ask("POST", "/topics/py", {"records": [{"key": "k", "value": {"größe": 2**60, "text": "\\u2603"}}]}, json_v2)
assert status == 200 and answer["offsets"][0]["offset"] == 0, answer
reader.join(20)
status, records = woken["answer"]
assert status == 200 and records[0]["value"] == {"größe": 2**60, "text": "\\u2603"}, records

for n in range(50):
    status, answer = ask("POST", "/topics/py/partitions/0", {"records": [{"value": base64.b64encode(bytes([n])).decode()}]}, {"Content-Type": "application/vnd.kafka.binary.v2+json"})
    assert status == 200 and answer["offsets"][0]["offset"] == n + 1, answer
status, records = ask("GET", "/topics/py/partitions/0/records?offset=1", headers={"Accept": "application/vnd.kafka.binary.v2+json"})
assert [base64.b64decode(record["value"]) for record in records] == [bytes([n]) for n in range(50)]
status, error = ask("GET", "/topics/py/partitions/0/records?offset=1000")
assert status == 416 and "0" in error["message"], error
print("ok")
`

test("Python's standard library produces, waits for records and reads them", async (t) => {
  const { url } = await setUp(t)
  const { stdout, stderr } = await run('python3', ['-c', pythonScript, url])
  assert.equal(stdout.trim(), 'ok', stderr)
})

test('kafka-rest of npm reads metadata, and produces once it is allowed v2', async (t) => {
  const { url, directory } = await setUp(t)
  const installed = await run('npm', ['install', '--no-audit', '--no-fund', '--prefix', directory, 'kafka-rest@0.0.5'])
  if (installed.code !== 0) return t.skip(`it could not be installed: ${installed.stderr.slice(0, 200)}`)
  await createTopic(url, 'kr', 2)
  const script = `
    const KafkaRest = require('${directory}/node_modules/kafka-rest')
    KafkaRest.prototype.SUPPORTED_VERSIONS = [1, 2]
    const said = (call) => new Promise((resolve, reject) => call((error, answer) => error ? reject(error) : resolve(answer)))
    void (async () => {
      for (const version of [1, 2]) {
        const client = new KafkaRest({ url: '${url}', version })
        console.log((await said((done) => client.brokers.list(done))).map(String).join())
        console.log((await said((done) => client.topics.list(done))).map(String).join())
        console.log((await said((done) => client.topic('kr').partitions.list(done))).length)
      }
      const client = new KafkaRest({ url: '${url}', version: 2 })
      await said((done) => client.topic('kr').produce({ key: 'k', value: 'keyed' }, done))
      const { offsets } = await said((done) => client.topic('kr').partition(1).produce('one', 'two', done))
      console.log(offsets.length)
    })()`
  const { stdout, stderr } = await run(process.execPath, ['--no-deprecation', '-e', script])
  const metadata = 'Broker{id=0}\nTopic{name="kr"}\n2\n'
  assert.equal(stdout, `${metadata}${metadata}2\n`, stderr)
  const stored = (await readTopic(url, 'kr', 2)).flat()
  assert.deepEqual(stored.map(({ value }) => value).sort(), ['keyed', 'one', 'two'])
})

test('nlp-kafka-rest-api of PyPI produces', async (t) => {
  const { url, directory } = await setUp(t)
  const venv = join(directory, 'venv')
  const made = await run('python3', ['-m', 'venv', venv])
  const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', 'nlp-kafka-rest-api==0.7.0']
  const installed = made.code === 0 ? await run(join(venv, 'bin', 'python'), pip) : made
  if (installed.code !== 0) return t.skip(`it could not be installed: ${installed.stderr.slice(0, 200)}`)
  await createTopic(url, 'nlp', 2)
  const script = `
import sys
from kafka_rest import Producer
producer = Producer(kafka_rest_api_url=sys.argv[1])
print(producer.produce([{"n": 1}, {"n": 2}], "nlp", keys=["x", "y"]))
producer.produce_files([{"name": "f", "bytes": b"content", "type": "text"}], "nlp")
`
  const { stdout, stderr } = await run(join(venv, 'bin', 'python'), ['-c', script, url])
  assert.equal(stdout.trim(), "['x', 'y']", stderr)
  const values = (await readTopic(url, 'nlp', 2)).flat().map(({ value }) => value)
  assert.equal(values.length, 3)
  assert.ok(values.includes('{"n":1}') && values.includes('{"n":2}'), values.join())
})

test('the package of Highwater itself runs where npx would start it', async () => {
  const { stdout } = await run('npx', ['highwater', '--version'])
  const { version } = JSON.parse(await readFile(join(projectDirectory, 'package.json'), 'utf8')) as { version: string }
  assert.equal(stdout.trim(), version)
})
