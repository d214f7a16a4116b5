package sqlitequeue

import (
	"slices"

	"github.com/sluice-go/sluice/internal/queue/sqlitequeue/internal/direct"
)

// picker picks the messages of a receive, in the order in which they became
// due: single ones, and groups of an ordered queue.
type picker struct {
	tx     *txn
	q      *queueRow
	n      int
	spread bool

	taken []*record
	// used are the groups and single messages that were looked at: they are
	// marked in the file only when all are picked.
	usedGroups map[string]bool
	usedAlone  []int64
	after      int64 // the last that was used of those in the order of sending
	again      bool  // another round
	rest       []*groupCursor
	letters    *queueRow
	found      bool // letters was looked for
}

// groupDue is a group that can be received from.
type groupDue struct {
	name          string
	readyAt, head int64
}

func (p *picker) pick() error {
	for len(p.taken) < p.n {
		more, err := p.round()
		p.again = true
		if err != nil {
			return err
		}
		if !more {
			break
		}
	}
	return p.spreadRest()
}

// round goes once through the first of what is due. Messages that were
// dead-lettered instead of taken make another round necessary.
func (p *picker) round() (more bool, err error) {
	limit := p.n - len(p.taken)
	mostAlone, mostGroups := limit+len(p.usedAlone), limit+len(p.usedGroups)
	alone, moreAlone, err := p.alone(mostAlone)
	if err != nil {
		return false, err
	}
	groups, err := p.groups(mostGroups)
	if err != nil {
		return false, err
	}
	moreGroups := len(groups) == mostGroups
	for len(p.taken) < p.n && len(alone)+len(groups) > 0 {
		if len(alone) == 0 && moreAlone || len(groups) == 0 && moreGroups {
			break // what was not read may be due before the rest of the others
		}
		if len(groups) == 0 || len(alone) > 0 && (alone[0].visibleAt < groups[0].readyAt ||
			alone[0].visibleAt == groups[0].readyAt && alone[0].id < groups[0].head) {
			r := alone[0]
			alone = alone[1:]
			if p.again && slices.Contains(p.usedAlone, r.id) {
				continue
			}
			more = true
			if r.via == viaOrder {
				p.after = r.id
			} else {
				p.usedAlone = append(p.usedAlone, r.id)
			}
			if err := p.take(r); err != nil {
				return false, err
			}
			continue
		}
		g := groups[0]
		groups = groups[1:]
		if p.usedGroups[g.name] {
			continue
		}
		if p.usedGroups == nil {
			p.usedGroups = map[string]bool{}
		}
		p.usedGroups[g.name], more = true, true
		c := &groupCursor{p: p, group: g.name}
		want := p.n
		if p.spread {
			want = len(p.taken) + 1
		}
		if err := c.take(want); err != nil {
			return false, err
		}
		if p.spread && !c.end {
			p.rest = append(p.rest, c)
		}
	}
	return more, nil
}

// alone returns the first of the messages without a group, and whether there may be
// more. Two streams are merged: each is in the order of the time when its messages
// became due.
func (p *picker) alone(limit int) (out []*record, more bool, err error) {
	due, err := p.tx.records("SELECT "+recordColumns+" FROM messages WHERE queue = ?+0 AND via <> 2 AND via = 0 AND visible_at <= ?+0 ORDER BY visible_at, id LIMIT ?+0",
		p.q.id, p.tx.now, limit)
	if err != nil {
		return nil, false, err
	}
	waiting, moreWaiting, err := newLine(p.tx, p.q).after(p.after, limit)
	if err != nil || len(waiting) == 0 {
		return due, len(due) == limit || moreWaiting, err
	}
	if len(due) == 0 {
		return waiting, moreWaiting, nil
	}
	moreDue := len(due) == limit
	for len(due) > 0 && len(waiting) > 0 {
		next := &due
		if w, d := waiting[0], due[0]; w.visibleAt < d.visibleAt || w.visibleAt == d.visibleAt && w.id < d.id {
			next = &waiting
		}
		out = append(out, (*next)[0])
		*next = (*next)[1:]
	}
	// Beyond the end of a stream that was not read to its end nothing is certain.
	if len(due) > 0 && !moreWaiting {
		out = append(out, due...)
	}
	if len(waiting) > 0 && !moreDue {
		out = append(out, waiting...)
	}
	return out, moreDue || moreWaiting, nil
}

func (p *picker) groups(limit int) ([]groupDue, error) {
	if !p.q.config.Ordered {
		return nil, nil
	}
	var out []groupDue
	err := p.tx.rows("SELECT name, ready_at, head FROM groups WHERE queue = ?+0 AND ready_at <= ?+0 ORDER BY ready_at, head LIMIT ?+0",
		func(rows *direct.Stmt) error {
			var g groupDue
			err := rows.Scan(&g.name, &g.readyAt, &g.head)
			out = append(out, g)
			return err
		}, p.q.id, p.tx.now, limit)
	return out, err
}

// spreadRest takes one message of each group again and again.
func (p *picker) spreadRest() error {
	for len(p.rest) > 0 && len(p.taken) < p.n {
		more := p.rest[:0]
		for _, c := range p.rest {
			if len(p.taken) == p.n {
				break
			}
			if err := c.take(len(p.taken) + 1); err != nil {
				return err
			}
			if !c.end {
				more = append(more, c)
			}
		}
		p.rest = more
	}
	return nil
}

// take takes a record, or dead-letters it if it was received MaxReceives times.
func (p *picker) take(r *record) error {
	if limit := p.q.config.MaxReceives; limit > 0 && r.receives >= int64(limit) {
		if !p.found {
			var err error
			if p.letters, err = p.tx.deadLetters(p.q); err != nil {
				return err
			}
			p.found = true
		}
		if p.letters != nil {
			return p.tx.transfer(p.q, p.letters, r, r.attributes, p.q.name, true)
		}
	}
	p.taken = append(p.taken, r)
	return nil
}

// groupCursor goes through the messages of a group.
type groupCursor struct {
	p     *picker
	group string
	after int64
	ahead []*record
	end   bool
}

// take takes messages until that many are taken in all, or the next one is
// hidden.
func (c *groupCursor) take(want int) (err error) {
	for len(c.p.taken) < want {
		if len(c.ahead) == 0 {
			if c.end {
				return nil
			}
			limit := c.p.n - len(c.p.taken)
			if c.p.spread && c.after == 0 {
				limit = 1 // most often there are enough groups
			}
			c.ahead, err = c.p.tx.records("SELECT "+recordColumns+" FROM messages WHERE queue = ?+0 AND grp = ? AND via = 1 AND id > ?+0 ORDER BY id LIMIT ?+0",
				c.p.q.id, c.group, c.after, limit)
			if err != nil {
				return err
			}
			if len(c.ahead) == 0 {
				c.end = true
				return nil
			}
		}
		r := c.ahead[0]
		if r.visibleAt > c.p.tx.now {
			c.ahead, c.end = nil, true
			return nil
		}
		c.ahead, c.after = c.ahead[1:], r.id
		if err := c.p.take(r); err != nil {
			return err
		}
	}
	return nil
}
