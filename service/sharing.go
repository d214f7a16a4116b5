package service

import (
	"net/url"
	"os"
	"path/filepath"

	"github.com/sluice-go/sluice/config"
)

// A sharing compares what the queues of a service use: their queues at the provider, and
// the files and stores behind them.
type sharing struct {
	run *run
}

// checkFiles returns an error if a queue is in the SQLite file in which handlers have their
// transactions. Such a file has one writer, which a handler is until it returns: the queue
// could extend no lease meanwhile, and settle no message.
func (s sharing) checkFiles() error {
	for _, w := range s.run.workers {
		c := w.queue.Consumer
		if c == nil || c.Idempotency == nil || !c.Idempotency.Transactional {
			continue
		}
		for _, other := range s.run.workers {
			if sameFile(sqliteFile(c.Idempotency.Store), sqliteFile(other.queue.Source)) {
				return usage("queue %q: consumer.idempotency.store%s is in the file of the queue %q: while a handler has its transaction, nothing else can write there, and messages lose their leases; "+
					"give the queue a file of its own", w.queue.Name, s.run.where(w.queue, "consumer.idempotency.store"), other.queue.Name)
			}
		}
	}
	return nil
}

// warn logs that queues of one name share a store, whose keys have no more than the name.
func (s sharing) warn() {
	type place struct{ store, queue string }
	first := make(map[place]*worker)
	for _, w := range s.run.workers {
		c := w.queue.Consumer
		if c == nil || c.Idempotency == nil {
			continue
		}
		at := place{c.Idempotency.Store, w.opened.Source.Capabilities().Queue}
		other, ok := first[at]
		if !ok {
			first[at] = w
			continue
		}
		s.run.options.Logger.Warn("two queues have one name at their providers and share an idempotency store: a message counts as a duplicate of one with its identity in the other queue; "+
			"to keep them apart, give one of them another table or prefix in the store's URL",
			"queue", w.queue.Name, "other", other.queue.Name, "name", at.queue, "store", config.Redact(at.store))
	}
}

// sqliteFile returns the path that a sqlite URL names, "" for any other URL.
func sqliteFile(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil || u.Scheme != "sqlite" {
		return ""
	}
	if u.Opaque != "" {
		if path, err := url.PathUnescape(u.Opaque); err == nil {
			return path
		}
	}
	return u.Host + u.Path
}

// sameFile reports whether two paths, which can be empty, lead to one file. A file that
// does not exist yet is compared by its path.
func sameFile(a, b string) bool {
	if a == "" || b == "" {
		return false
	}
	one, err1 := os.Stat(a)
	two, err2 := os.Stat(b)
	if err1 == nil && err2 == nil {
		return os.SameFile(one, two)
	}
	a, err1 = filepath.Abs(a)
	b, err2 = filepath.Abs(b)
	return err1 == nil && err2 == nil && a == b
}
