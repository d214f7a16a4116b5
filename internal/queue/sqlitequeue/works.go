package sqlitequeue

import (
	"slices"
	"sync"
)

// works are those that wait for a transaction, in the order of their arrival. Who
// has the database's turn takes them.
type works struct {
	mu      sync.Mutex
	waiting []*work
	flowing map[string]bool // queues whose last receive brought something
}

// mostWorks is how many share a transaction, so that none takes long.
const mostWorks = 128

func (ws *works) add(w *work) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.waiting = append(ws.waiting, w)
}

// remove reports whether the work had not been taken.
func (ws *works) remove(w *work) bool {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	i := slices.Index(ws.waiting, w)
	if i < 0 {
		return false
	}
	ws.waiting = slices.Delete(ws.waiting, i, i+1)
	return true
}

// sync reports whether one of them waits for the disk.
func (ws *works) sync() bool {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	return slices.ContainsFunc(ws.waiting, func(w *work) bool { return w.sync })
}

// take takes those that a commit is enough for which waits for the disk, or does
// not.
func (ws *works) take(sync bool) []*work {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	var taken []*work
	rest := ws.waiting[:0]
	for _, w := range ws.waiting {
		if len(taken) < mostWorks && (sync || !w.sync) {
			taken = append(taken, w)
		} else {
			rest = append(rest, w)
		}
	}
	clear(ws.waiting[len(rest):])
	ws.waiting = rest
	return taken
}

// flows reports whether the queue's last receive brought something.
func (ws *works) flows(queue string) bool {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	return ws.flowing[queue]
}

func (ws *works) setFlows(queue string, flows bool) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	switch {
	case !flows:
		delete(ws.flowing, queue)
	case !ws.flowing[queue]:
		if ws.flowing == nil {
			ws.flowing = map[string]bool{}
		}
		ws.flowing[queue] = true
	}
}
