package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// Create implements [Engine].
func (s *SQLite) Create(ctx context.Context, name string, c Config) error {
	if err := c.validate(name); err != nil {
		return err
	}
	c = c.withDefaults()
	config, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return s.file(ctx, func(tx *sqlTx) error {
		n, err := tx.change("INSERT INTO queues (name, created, version, sequence, config) VALUES (?, ?, 1, 0, ?) ON CONFLICT DO NOTHING",
			name, tx.moment.wall(), string(config))
		if err != nil || n > 0 {
			return err
		}
		q, _, err := tx.queue(name)
		if err == nil && !q.config.equal(&c) {
			err = fmt.Errorf("queue %q: %w", name, ErrExists)
		}
		return err
	})
}

// file runs do in a transaction that is about no single queue.
func (s *SQLite) file(ctx context.Context, do func(tx *sqlTx) error) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer func() { <-s.turn }()
	return s.wrap(s.transact(ctx, do))
}

// Config implements [Engine].
func (s *SQLite) Config(ctx context.Context, name string) (Config, time.Time, error) {
	var found *sqlQueue
	err := s.read(ctx, func(tx *sqlTx) (err error) {
		found, _, err = tx.queue(name)
		return err
	})
	if err != nil {
		return Config{}, time.Time{}, err
	}
	return found.config.withDefaults(), timeOf(found.created), nil
}

// read runs do, which must not write.
func (s *SQLite) read(ctx context.Context, do func(tx *sqlTx) error) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer func() { <-s.turn }()
	return s.wrap(s.retry(ctx, func() error {
		tx := &sqlTx{s: s}
		if err := tx.tick(false); err != nil {
			return err
		}
		return do(tx)
	}))
}

// Configure implements [Engine].
func (s *SQLite) Configure(ctx context.Context, name string, c Config) error {
	if err := c.validate(name); err != nil {
		return err
	}
	c = c.withDefaults()
	config, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return s.file(ctx, func(tx *sqlTx) error {
		q, _, err := tx.queue(name)
		if err != nil {
			return err
		}
		err = tx.exec("UPDATE queues SET config = ?, version = version + 1 WHERE id = ?", string(config), q.id)
		if err != nil {
			return err
		}
		delete(s.queues, name)
		tx.offer(q, tx.now) // another retention is another next event
		if q.config.Ordered == c.Ordered && q.config.Lax == c.Lax {
			return nil
		}
		return tx.reshape(q, c.Ordered)
	})
}

// reshape arranges the messages anew after the queue began or ceased to keep
// order.
func (tx *sqlTx) reshape(q *sqlQueue, ordered bool) error {
	if err := tx.exec("DELETE FROM groups WHERE queue = ?", q.id); err != nil {
		return err
	}
	if !ordered {
		return tx.exec("UPDATE messages SET ordered = 0 WHERE queue = ? AND ordered = 1", q.id)
	}
	if err := tx.exec("UPDATE messages SET ordered = 1 WHERE id > ? AND id < ? AND grp <> ''", q.low(), q.high()); err != nil {
		return err
	}
	groups, err := tx.strings("SELECT DISTINCT grp FROM messages WHERE queue = ? AND ordered = 1", q.id)
	for _, g := range groups {
		tx.mark(q, g)
	}
	return err
}

// Remove implements [Engine].
func (s *SQLite) Remove(ctx context.Context, name string) error {
	return s.file(ctx, func(tx *sqlTx) error {
		q, _, err := tx.queue(name)
		if err != nil {
			return err
		}
		delete(s.queues, name)
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

// List implements [Engine].
func (s *SQLite) List(ctx context.Context) ([]string, error) {
	var names []string
	err := s.read(ctx, func(tx *sqlTx) (err error) {
		names, err = tx.strings("SELECT name FROM queues")
		slices.Sort(names)
		return err
	})
	return names, err
}

// Stats implements [Engine]. It counts the messages, on a connection of its
// own: where there are a million of them that takes a moment and holds up no
// one.
func (s *SQLite) Stats(ctx context.Context, name string) (Stats, error) {
	q, now, err := s.collect(ctx, name)
	if err != nil {
		return Stats{}, err
	}
	var total, hidden, oldest int64
	var stats Stats
	err = s.readers.QueryRowContext(ctx, `SELECT count(*), coalesce(min(enqueued_at), 0) FROM messages WHERE queue = ?`, q.id).Scan(&total, &oldest)
	if err == nil {
		err = s.readers.QueryRowContext(ctx,
			`SELECT count(*), coalesce(sum(delivery > 0), 0) FROM messages WHERE queue = ?1 AND ordered IN (0, 1) AND visible_at > ?2`,
			q.id, now.at).Scan(&hidden, &stats.InFlight)
	}
	if err != nil {
		return Stats{}, s.reading(ctx, err)
	}
	stats.Delayed = hidden - stats.InFlight
	stats.Visible = max(total-hidden, 0)
	if total > 0 {
		stats.Oldest = now.show(oldest)
		stats.OldestAge = time.Duration(max(now.at-oldest, 0))
	}
	return stats, nil
}

// reading is the error of a reader's query.
func (s *SQLite) reading(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	select {
	case <-s.done:
		return ErrClosed
	default:
		return s.wrap(err)
	}
}

// collect removes what is too old, if anything is, before the queue is looked
// at.
func (s *SQLite) collect(ctx context.Context, name string) (*sqlQueue, moment, error) {
	var q *sqlQueue
	var now moment
	old := false
	err := s.read(ctx, func(tx *sqlTx) error {
		found, oldest, err := tx.queue(name)
		if err == nil {
			q, now = found, tx.moment
			old = oldest.Valid && later(oldest.Int64, q.config.Retention) <= tx.now
		}
		return err
	})
	if err == nil && old {
		err = s.write(ctx, name, func(tx *sqlTx, found *sqlQueue) error {
			q, now = found, tx.moment
			return nil
		})
	}
	return q, now, err
}

// Peek implements [Engine].
func (s *SQLite) Peek(ctx context.Context, name string, n int) ([]Message, error) {
	q, now, err := s.collect(ctx, name)
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
	var out []Message
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

// Purge implements [Engine]. It removes the messages that are there when it
// begins.
func (s *SQLite) Purge(ctx context.Context, name string) error {
	last := int64(-1)
	for {
		var n int64
		err := s.write(ctx, name, func(tx *sqlTx, q *sqlQueue) error {
			if last < 0 {
				if err := tx.row("SELECT sequence FROM queues WHERE id = ?", q.id).Scan(&last); err != nil {
					return err
				}
				last += q.low()
			}
			var gone []gonner
			err := tx.gonners(&gone, "SELECT id, ordered, large, grp FROM messages WHERE id > ? AND id <= ? ORDER BY id LIMIT ?", q.low(), last, purgeStep)
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
