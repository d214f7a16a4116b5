package admin

import (
	"context"
	"iter"
	"slices"
	"sync"
)

// perProvider bounds how many queues of one provider are in progress. Each takes some
// requests, one after another, so that this many stay within what SQS and Google's
// administrative quotas allow. CloudWatch allows only nine requests a second for
// alarms; the SQS driver repeats those that it refuses.
const perProvider = 8

// each calls do for the targets whose indices are in chains, and returns the results
// by index, in ascending order. A chain's targets have their turns one after another.
// Chains are begun in their order, at most perProvider of each provider at a time.
// finished is called with each result as it comes, on the caller's goroutine. All
// calls of do have returned when the range ends; ending it early cancels them.
func each[T any](ctx context.Context, targets []Target, chains [][]int, do func(context.Context, *Target) T, finished func(T)) iter.Seq2[int, T] {
	type result struct {
		index int
		value T
	}
	return func(yield func(int, T) bool) {
		ctx, cancel := context.WithCancel(ctx)
		results := make(chan result, len(targets)) // no worker waits for the caller
		work := map[string]chan []int{}
		var workers sync.WaitGroup
		for _, chain := range chains {
			p := provider(targets[chain[0]].URL)
			if work[p] == nil {
				work[p] = make(chan []int, len(chains))
			}
			work[p] <- chain
		}
		for _, queue := range work {
			close(queue)
			for range min(len(queue), perProvider) {
				workers.Go(func() {
					for chain := range queue {
						for _, i := range chain {
							results <- result{i, do(ctx, &targets[i])}
						}
					}
				})
			}
		}
		defer workers.Wait()
		defer cancel()

		order := slices.Sorted(slices.Values(slices.Concat(chains...)))
		early := map[int]T{} // results whose predecessors are missing
		for next := 0; next < len(order); {
			r := <-results
			finished(r.value)
			early[r.index] = r.value
			for ; next < len(order); next++ {
				value, ok := early[order[next]]
				if !ok {
					break
				}
				delete(early, order[next])
				if !yield(order[next], value) {
					return
				}
			}
		}
	}
}
