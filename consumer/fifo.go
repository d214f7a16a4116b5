package consumer

import "slices"

// A fifo is a queue of items. The zero fifo is empty. len, push and pop take amortized
// constant time; the other methods look at each item.
type fifo[T comparable] struct {
	items []T
	head  int
}

func (q *fifo[T]) len() int { return len(q.items) - q.head }

func (q *fifo[T]) push(item T) {
	if q.head > 0 && len(q.items) == cap(q.items) {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.items = append(q.items, item)
}

// pop removes and returns the first item. The queue must not be empty.
func (q *fifo[T]) pop() T {
	var zero T
	item := q.items[q.head]
	q.items[q.head] = zero
	q.head++
	if q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	}
	return item
}

func (q *fifo[T]) has(item T) bool { return slices.Contains(q.items[q.head:], item) }

// behind returns the place of the item if it comes after the first n, and -1 otherwise.
func (q *fifo[T]) behind(n int, item T) int {
	if q.len() <= n {
		return -1
	}
	i := slices.Index(q.items[q.head+n:], item)
	if i < 0 {
		return -1
	}
	return n + i
}

// remove removes the item at a place.
func (q *fifo[T]) remove(place int) {
	q.items = slices.Delete(q.items, q.head+place, q.head+place+1)
}

// moveToFront moves the first item that matches to the front. It reports whether
// there is one.
func (q *fifo[T]) moveToFront(match func(T) bool) bool {
	items := q.items[q.head:]
	i := slices.IndexFunc(items, match)
	if i < 0 {
		return false
	}
	item := items[i]
	copy(items[1:i+1], items[:i])
	items[0] = item
	return true
}

// takeAll removes and returns all items.
func (q *fifo[T]) takeAll() []T {
	items := q.items[q.head:]
	q.items, q.head = nil, 0
	return items
}
