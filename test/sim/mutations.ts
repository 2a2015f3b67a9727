import type { Mutation } from './simulate.ts'
export const mutations: { readonly [name: string]: Mutation } = {}
