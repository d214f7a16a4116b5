package queue

// fifo is a queue of plain values that frees what was taken from it.
type fifo[T any] struct {
	items []T
	begin int
}

func (f *fifo[T]) push(v T) { f.items = append(f.items, v) }

func (f *fifo[T]) front() *T {
	if f.begin == len(f.items) {
		return nil
	}
	return &f.items[f.begin]
}

func (f *fifo[T]) pop() {
	var none T
	f.items[f.begin] = none
	if f.begin++; f.begin*2 >= len(f.items) {
		n := copy(f.items, f.items[f.begin:])
		clear(f.items[n:])
		f.items, f.begin = f.items[:n], 0
	}
}
