package sqlitequeue

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/sluice-go/sluice/internal/queue"
	"github.com/sluice-go/sluice/internal/queue/internal/store"
	"github.com/sluice-go/sluice/internal/queue/sqlitequeue/internal/direct"
)

// Engine is a [queue.Engine] that keeps its queues in a SQLite file. Several
// processes, and several engines of one process, may use one file at the same
// time. The file must be on a local disk: SQLite's locks do not work over a
// network.
//
// Every operation is one transaction. An operation that has returned is in the
// file even if the process is killed; see [Options] for power cuts.
type Engine struct {
	*database
	mover mover
}

var _ queue.Engine = (*Engine)(nil)

// Open opens the file at path and creates it if it does not exist. A nil o means
// the defaults.
func Open(ctx context.Context, path string, o *Options) (*Engine, error) {
	db, err := openDatabase(ctx, path, o)
	if err != nil {
		return nil, fmt.Errorf("queue file %q: %w", path, err)
	}
	return &Engine{database: db, mover: mover{db: db, running: map[string]chan struct{}{}}}, nil
}

// Close implements [queue.Engine]. Tasks that this engine runs fail. A second call
// returns nil.
func (s *Engine) Close() error {
	s.turn <- struct{}{}
	if s.closed {
		<-s.turn
		return nil
	}
	s.closed = true
	close(s.done)
	err := s.mover.abandon()
	<-s.turn
	s.mover.tasks.Wait()
	s.bells.eyes.Wait()
	return errors.Join(err, s.release())
}

// Create implements [queue.Engine].
func (s *Engine) Create(ctx context.Context, name string, c queue.Config) error {
	if err := c.Validate(name); err != nil {
		return err
	}
	c = c.WithDefaults()
	config, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return s.file(ctx, func(tx *txn) error {
		n, err := tx.change("INSERT INTO queues (name, created, version, sequence, config) VALUES (?, ?, 1, 0, ?) ON CONFLICT DO NOTHING",
			name, tx.moment.Wall(), string(config))
		if err != nil || n > 0 {
			return err
		}
		q, err := tx.queue(name)
		if err == nil && !q.config.Equal(&c) {
			err = fmt.Errorf("queue %q: %w", name, queue.ErrExists)
		}
		return err
	})
}

// Config implements [queue.Engine].
func (s *Engine) Config(ctx context.Context, name string) (queue.Config, time.Time, error) {
	var found *queueRow
	err := s.read(ctx, func(tx *txn) (err error) {
		found, err = tx.queue(name)
		return err
	})
	if err != nil {
		return queue.Config{}, time.Time{}, err
	}
	return found.config.WithDefaults(), store.TimeOf(found.created), nil
}

// Configure implements [queue.Engine].
func (s *Engine) Configure(ctx context.Context, name string, c queue.Config) error {
	if err := c.Validate(name); err != nil {
		return err
	}
	c = c.WithDefaults()
	config, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return s.file(ctx, func(tx *txn) error {
		q, err := tx.queue(name)
		if err != nil {
			return err
		}
		err = tx.exec("UPDATE queues SET config = ?, version = version + 1 WHERE id = ?", string(config), q.id)
		if err != nil {
			return err
		}
		delete(s.known.queues, name)
		tx.offer(q, tx.now) // another retention is another next event
		if q.config.Ordered == c.Ordered && q.config.Lax == c.Lax {
			return nil
		}
		return reshape(tx, q, c.Ordered)
	})
}

// Remove implements [queue.Engine].
func (s *Engine) Remove(ctx context.Context, name string) error {
	return s.file(ctx, func(tx *txn) error {
		q, err := tx.queue(name)
		if err != nil {
			return err
		}
		delete(s.known.queues, name)
		for _, query := range []string{
			"DELETE FROM queues WHERE id = ?1",
			"DELETE FROM messages WHERE id > ?1 << 44 AND id < (?1 + 1) << 44",
			"DELETE FROM bodies WHERE id > ?1 << 44 AND id < (?1 + 1) << 44",
			"DELETE FROM groups WHERE queue = ?1",
			"DELETE FROM seen WHERE queue = ?1",
			"DELETE FROM attempts WHERE queue = ?1",
			"DELETE FROM moves WHERE queue = ?1",
		} {
			if err := tx.exec(query, q.id); err != nil {
				return err
			}
		}
		tx.offer(q, tx.now)
		return nil
	})
}

// List implements [queue.Engine].
func (s *Engine) List(ctx context.Context) ([]string, error) {
	var names []string
	err := s.read(ctx, func(tx *txn) (err error) {
		names, err = tx.strings("SELECT name FROM queues")
		slices.Sort(names)
		return err
	})
	return names, err
}

// Stats implements [queue.Engine]. It counts the messages on a separate
// connection: counting a million takes a moment, and no other operation waits.
func (s *Engine) Stats(ctx context.Context, name string) (queue.Stats, error) {
	q, now, passed, err := s.collect(ctx, name)
	if err != nil {
		return queue.Stats{}, err
	}
	var total, hidden, oldest int64
	var stats queue.Stats
	// One statement sees one moment: a message that is received meanwhile is counted
	// once.
	err = s.readers.QueryRowContext(ctx, `WITH
		indexed AS (SELECT count(*) AS n, min(enqueued_at) AS oldest FROM messages WHERE queue = ?1 AND via <> 2),
		hidden AS (SELECT count(*) AS n, coalesce(sum(delivery > 0), 0) AS leased FROM messages WHERE queue = ?1 AND via <> 2 AND via IN (0, 1) AND visible_at > ?2),
		waiting AS (SELECT count(*) AS n, (SELECT enqueued_at FROM messages WHERE id > ?3 AND id < ?4 AND via = 2 ORDER BY id LIMIT 1) AS oldest FROM messages WHERE id > ?3 AND id < ?4 AND via = 2)
		SELECT indexed.n + waiting.n, coalesce(min(indexed.oldest, waiting.oldest), indexed.oldest, waiting.oldest, 0), hidden.n, hidden.leased FROM indexed, hidden, waiting`,
		q.id, now.At, passed, q.high()).Scan(&total, &oldest, &hidden, &stats.InFlight)
	if err != nil {
		return queue.Stats{}, s.reading(ctx, err)
	}
	stats.Delayed = hidden - stats.InFlight
	stats.Visible = max(total-hidden, 0)
	if total > 0 {
		stats.Oldest = now.Show(oldest)
		stats.OldestAge = time.Duration(max(now.At-oldest, 0))
	}
	return stats, nil
}

// collect removes expired messages before the queue is examined.
func (s *Engine) collect(ctx context.Context, name string) (q *queueRow, now store.Moment, passed int64, err error) {
	old := false
	err = s.read(ctx, func(tx *txn) error {
		found, err := tx.queue(name)
		if err != nil {
			return err
		}
		q, now, passed = found, tx.moment, newLine(tx, found).passed()
		old, err = tx.aged(q, store.Earlier(tx.now, q.config.Retention))
		return err
	})
	if err == nil && old {
		err = s.write(ctx, name, func(tx *txn, found *queueRow) error {
			q, now, passed = found, tx.moment, newLine(tx, found).passed()
			return nil
		})
	}
	return q, now, passed, err
}

// Peek implements [queue.Engine].
func (s *Engine) Peek(ctx context.Context, name string, n int) ([]queue.Message, error) {
	q, now, _, err := s.collect(ctx, name)
	if err != nil || n <= 0 {
		return nil, err
	}
	// A message in the rows of two tables is read at one moment.
	tx, err := s.readers.BeginTx(ctx, nil)
	if err != nil {
		return nil, s.reading(ctx, err)
	}
	defer tx.Rollback() //nolint:errcheck // there is nothing to undo
	rows, err := tx.QueryContext(ctx, "SELECT "+recordColumns+" FROM messages WHERE id > ? AND id < ? ORDER BY id LIMIT ?", q.low(), q.high(), n)
	if err != nil {
		return nil, s.reading(ctx, err)
	}
	defer rows.Close()
	var records []*record
	for rows.Next() {
		r := &record{}
		if err := r.scan(rows); err != nil {
			return nil, err
		}
		records = append(records, r)
	}
	if err := rows.Err(); err != nil {
		return nil, s.reading(ctx, err)
	}
	var out []queue.Message
	for _, r := range records {
		if r.large {
			if err := tx.QueryRowContext(ctx, largeBody, r.id).Scan(&r.body, &r.extra); err != nil {
				return nil, s.reading(ctx, err)
			}
		}
		m, err := r.message(now)
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}

// purgeStep is how many messages are purged in one transaction, so that no one
// else has to wait long.
const purgeStep = 2000

// Purge implements [queue.Engine]. It removes the messages that the queue has
// when it begins.
func (s *Engine) Purge(ctx context.Context, name string) error {
	last := int64(-1)
	for {
		var n int64
		err := s.write(ctx, name, func(tx *txn, q *queueRow) error {
			if last < 0 {
				var err error
				if last, err = tx.lastSequence(q); err != nil {
					return err
				}
				last += q.low()
			}
			var gone []gonner
			err := tx.gonners(&gone, "SELECT id, via = 1, large, grp FROM messages WHERE id > ? AND id <= ? ORDER BY id LIMIT ?", q.low(), last, purgeStep)
			if err != nil {
				return err
			}
			n = int64(len(gone))
			if err := tx.remove(q, gone); err != nil || !q.config.Lax {
				return err
			}
			return tx.exec("DELETE FROM seen WHERE queue = ?", q.id)
		})
		if err != nil || n < purgeStep {
			return err
		}
	}
}

// Send implements [queue.Engine].
func (s *Engine) Send(ctx context.Context, name string, ms []queue.Message) ([]queue.Message, error) {
	var out []queue.Message
	err := s.write(ctx, name, func(tx *txn, q *queueRow) error {
		out = slices.Clone(ms)
		queue.FillIDs(out)
		return send(tx, q, out)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Receive implements [queue.Engine].
func (s *Engine) Receive(ctx context.Context, name string, r queue.ReceiveRequest) ([]queue.Received, error) {
	out, seen, err := s.try(ctx, name, &r)
	if len(out) > 0 || err != nil || r.Wait <= 0 {
		return out, err
	}
	deadline := store.Later(seen.moment.At, r.Wait)
	w := s.bells.join(name)
	defer s.bells.leave(name, w)
	for {
		s.bells.set(name, math.MaxInt64) // what becomes due from now on rings
		out, seen, err := s.try(ctx, name, &r)
		if len(out) > 0 || err != nil || seen.moment.At >= deadline {
			return out, err
		}
		next := min(seen.next, deadline)
		s.bells.set(name, next)
		wait := time.Duration(max(next-seen.moment.At, 0)) - s.machine.read().now.Sub(seen.moment.Now)
		select {
		case <-w.C:
		case <-s.machine.after(wait):
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-s.done:
			return nil, queue.ErrClosed
		}
	}
}

// try receives what there is. A queue that had nothing is read before it is written
// to, so that receives of an empty one lock nobody out. try returns when there will
// be something if there is nothing.
func (s *Engine) try(ctx context.Context, name string, r *queue.ReceiveRequest) (out []queue.Received, seen look, err error) {
	if !s.works.flows(name) {
		found := false
		err := s.read(ctx, func(tx *txn) error {
			q, err := tx.queue(name)
			if err != nil {
				return err
			}
			seen.moment = tx.moment
			seen.next, err = nextDue(tx, q)
			found = seen.next <= tx.now || r.AttemptID != ""
			return err
		})
		if err != nil || !found {
			return nil, seen, err
		}
	}
	// A lease need not outlive a power failure: whoever holds it does not.
	err = s.carryOut(ctx, &work{name: name, do: func(tx *txn, q *queueRow) (err error) {
		seen.moment = tx.moment
		if out, err = receive(tx, q, r); err != nil || len(out) > 0 {
			return err
		}
		seen.next, err = nextDue(tx, q)
		return err
	}})
	if err != nil {
		return nil, look{}, err
	}
	s.works.setFlows(name, len(out) > 0)
	return out, seen, nil
}

// each runs do for each of n receipts in one transaction. It returns nil if all
// succeed, and otherwise an error, or nil, for each. The receipt's own errors
// (ErrReceipt, ErrNoDeadLetter) leave the others alone.
func (s *Engine) each(ctx context.Context, name string, n int, do func(tx *txn, q *queueRow, i int) (refused, err error)) []error {
	var errs []error
	err := s.write(ctx, name, func(tx *txn, q *queueRow) error {
		errs = nil
		for i := range n {
			refused, err := do(tx, q, i)
			if err != nil {
				return err
			}
			if refused != nil {
				if errs == nil {
					errs = make([]error, n)
				}
				errs[i] = refused
			}
		}
		return nil
	})
	if err != nil {
		return slices.Repeat([]error{err}, n)
	}
	return errs
}

// Delete implements [queue.Engine].
func (s *Engine) Delete(ctx context.Context, name string, receipts []string) []error {
	return s.each(ctx, name, len(receipts), func(tx *txn, q *queueRow, i int) (refused, err error) {
		id, delivery, ok := q.place(receipts[i])
		if !ok {
			return queue.ErrReceipt, nil
		}
		if !q.config.Ordered {
			n, err := tx.change("DELETE FROM messages WHERE id = ? AND delivery = ? AND via = 0 AND large = 0", id, delivery)
			if n > 0 || err != nil {
				return nil, err
			}
		}
		g := gonner{id: id}
		err = tx.row("DELETE FROM messages WHERE id = ? AND delivery = ? RETURNING via = 1, large, grp", id, delivery).
			Scan(&g.ordered, &g.large, &g.group)
		if errors.Is(err, sql.ErrNoRows) {
			return queue.ErrReceipt, nil
		}
		if err == nil {
			err = tx.removed(q, &g)
		}
		return nil, err
	})
}

// Change implements [queue.Engine].
func (s *Engine) Change(ctx context.Context, name string, cs []queue.Change) []error {
	return s.each(ctx, name, len(cs), func(tx *txn, q *queueRow, i int) (refused, err error) {
		id, delivery, ok := q.place(cs[i].Receipt)
		if !ok {
			return queue.ErrReceipt, nil
		}
		if cs[i].Release {
			return releaseDelivery(tx, q, id, delivery, cs[i].By)
		}
		until := store.Later(tx.now, max(cs[i].By, 0))
		if !q.config.Ordered {
			n, err := tx.change("UPDATE messages SET visible_at = ? WHERE id = ? AND via = 0 AND (delivery = ? AND visible_at > ? OR ? AND delivery > 0)",
				until, id, delivery, tx.now, q.config.AnyReceipt())
			if n > 0 {
				tx.offer(q, until)
			}
			if n > 0 || err != nil {
				return nil, err
			}
			return whyNot(tx, id)
		}
		var way via
		var group string
		// The id is the message's own, and no other delivery of it has that number.
		err = tx.row("UPDATE messages SET visible_at = ? WHERE id = ? AND (delivery = ? AND visible_at > ? OR ? AND delivery > 0) RETURNING via, grp",
			until, id, delivery, tx.now, q.config.AnyReceipt()).Scan((*int64)(&way), &group)
		if errors.Is(err, sql.ErrNoRows) {
			return whyNot(tx, id)
		}
		if way == viaGroup {
			tx.mark(q, group)
		} else {
			tx.offer(q, until)
		}
		return nil, err
	})
}

// Reject implements [queue.Engine].
func (s *Engine) Reject(ctx context.Context, name string, rs []queue.Rejection) []error {
	return s.each(ctx, name, len(rs), func(tx *txn, q *queueRow, i int) (refused, err error) {
		id, delivery, ok := q.place(rs[i].Receipt)
		if !ok {
			return queue.ErrReceipt, nil
		}
		found, err := tx.records("SELECT "+recordColumns+" FROM messages WHERE id = ? AND delivery = ?", id, delivery)
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return queue.ErrReceipt, nil
		}
		to, err := tx.deadLetters(q)
		if err != nil {
			return nil, err
		}
		if to == nil {
			return q.config.NoDeadLetter(q.name), nil
		}
		return nil, tx.transfer(q, to, found[0], encodeAttributes(rs[i].Attributes), q.name, false)
	})
}

// StartMove implements [queue.Engine].
func (s *Engine) StartMove(ctx context.Context, source, destination string, rate int) (queue.Task, error) {
	if source == destination {
		return queue.Task{}, fmt.Errorf("queue %q: %w: the queue cannot be moved to itself", source, queue.ErrConfig)
	}
	t := queue.Task{Handle: store.NewHandle(), Source: source, Destination: destination, Rate: rate, Status: queue.TaskRunning}
	err := s.write(ctx, source, func(tx *txn, q *queueRow) error {
		if destination != "" {
			if _, err := tx.queue(destination); err != nil {
				return err
			}
		}
		if err := s.mover.bury(tx, q); err != nil {
			return err
		}
		var running int
		if err := tx.row("SELECT count(*) FROM moves WHERE queue = ? AND status = ?", q.id, string(queue.TaskRunning)).Scan(&running); err != nil {
			return err
		}
		if running > 0 {
			return fmt.Errorf("queue %q: %w", source, queue.ErrTaskRunning)
		}
		t.Started = tx.moment.Now
		last, err := tx.lastSequence(q)
		if err != nil {
			return err
		}
		err = tx.row(`SELECT (SELECT count(*) FROM messages WHERE queue = ?1 AND via <> 2 AND via IN (0, 1) AND visible_at <= ?2) +
			(SELECT count(*) FROM messages WHERE id > ?3 AND id < ?4 AND via = 2)`, q.id, tx.now, newLine(tx, q).passed(), q.high()).Scan(&t.ToMove)
		if err != nil {
			return err
		}
		err = tx.exec("INSERT INTO moves ("+moveColumns+", queue) VALUES (?, ?, ?, ?, ?, 0, ?, ?, '', ?, ?, ?, ?)",
			t.Handle, t.Source, t.Destination, t.Rate, string(t.Status), t.ToMove, tx.moment.Wall(), q.low(), q.low()+last, tx.now, q.id)
		if err != nil {
			return err
		}
		return tx.exec("DELETE FROM moves WHERE queue = ?1 AND id NOT IN (SELECT id FROM moves WHERE queue = ?1 ORDER BY id DESC LIMIT ?2)", q.id, store.KeepMoves)
	})
	if err != nil {
		return queue.Task{}, err
	}
	if err := s.enter(ctx); err != nil {
		return t, err // the file has the task and nobody runs it: it will count as failed
	}
	defer func() { <-s.turn }()
	s.mover.start(t)
	return t, nil
}

// CancelMove implements [queue.Engine].
func (s *Engine) CancelMove(ctx context.Context, handle string) (queue.Task, error) {
	var m moveRow
	err := s.file(ctx, func(tx *txn) error {
		m = moveRow{}
		err := m.scan(tx.row("SELECT "+moveColumns+" FROM moves WHERE handle = ?", handle).Scan)
		if errors.Is(err, sql.ErrNoRows) || err == nil && m.Status != queue.TaskRunning {
			return queue.ErrTaskNotFound
		}
		if err != nil {
			return err
		}
		m.Status = queue.TaskCanceled
		return endMove(tx, handle, queue.TaskCanceled, "")
	})
	if err != nil {
		return queue.Task{}, err
	}
	if err := s.enter(ctx); err == nil {
		s.mover.cancel(handle)
		<-s.turn
	}
	return m.Task, nil
}

// Moves implements [queue.Engine].
func (s *Engine) Moves(ctx context.Context, source string) ([]queue.Task, error) {
	var out []queue.Task
	err := s.write(ctx, source, func(tx *txn, q *queueRow) error {
		out = nil
		if err := s.mover.bury(tx, q); err != nil {
			return err
		}
		return tx.rows("SELECT "+moveColumns+" FROM moves WHERE queue = ? ORDER BY id DESC LIMIT ?", func(rows *direct.Stmt) error {
			var m moveRow
			err := m.scan(rows.Scan)
			out = append(out, m.Task)
			return err
		}, q.id, store.KeepMoves)
	})
	return out, err
}
