/** Sentences of the suites that are left out here, each with its reason. The runner says so at the end of every run. */
export const deviations: readonly { readonly sentence: string; readonly reason: string }[] = []
