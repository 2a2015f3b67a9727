/** The part of a log that takes records in. */
import { append } from './append.ts'
import { countedAs, type Engine } from './engine.ts'
import { Gather } from './gather.ts'
import type { Log } from './log.ts'
import { Produce } from './produce.ts'
import { ProducerIds } from './producer-ids.ts'

export function producePart(engine: Engine): Pick<Log, 'append' | 'produce' | 'allocateProducer'> {
  const { context, topics, answer, onClose } = countedAs('produce', engine)
  const gather = new Gather(context)
  const produce = new Produce(context, topics, gather)
  const producerIds = new ProducerIds(context)
  onClose(
    () => gather.hurry(),
    () => gather.close(),
  )
  return {
    append: (request) => answer(() => append(context, topics, gather, request)),
    produce: (request) => answer(() => produce.produce(request)),
    // An id that nobody was told changes nothing that anybody sees.
    allocateProducer: () => answer(() => producerIds.allocate(), 'unseen'),
  }
}
