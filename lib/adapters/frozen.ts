/**
 * Freezes a value and all below it, so that a store can hand out the one it keeps. What is frozen already is taken to be
 * frozen to the ground: a new head then costs its new parts only.
 */
export function frozen<Value>(value: Value): Value {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  for (const part of Object.values(value)) frozen(part)
  return Object.freeze(value)
}
