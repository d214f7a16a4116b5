package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-go/sluice/admin/letters"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/deadletter"
	"github.com/sluice-go/sluice/handler"
)

// The most of a body that peek shows, unless told otherwise.
const defaultBodyLimit = 256

// A peekCommand shows messages.
type peekCommand struct {
	*app
	filterFlags
	showFlags
	lookFlags
	dead   bool
	number int
	claim  string
}

func newPeek(a *app) *cobra.Command {
	p := &peekCommand{app: a}
	c := &cobra.Command{
		Use:   "peek QUEUE",
		Short: "Show messages and leave them in the queue",
		Long: `Shows messages of the queue, or of its dead-letter queue, with ID, attempt,
attributes and the beginning of the body, and returns them immediately. Of a dead
letter it shows the reason first, and how often the message was attempted before it
became a letter. On a terminal it shows a table, with -v all of each message.

` + filterHelp + ` Of a
queue's messages only the first 1,000 are looked at to find --number.

SQS and Pub/Sub have no way to look at a message without receiving it: there,
peek counts as a delivery attempt. A message that has used all attempts of its queue
goes to the dead-letter queue at the next receive, even if that is peek's, and peek
cannot know this before. Therefore it refuses queues that allow three attempts or
fewer, unless --spend-attempts is given, and warns about the others. The embedded
queue can be read without an attempt: there a new message has had 0.`,
		Example: `  sluice peek orders
  sluice peek orders --dead -n 100 -o json
  sluice peek orders --dead --reason '*timeout*' -v`,
		Args:              a.oneQueue,
		ValidArgsFunction: a.completeQueues,
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.run(cmd.Context(), args[0])
		},
	}
	f := c.Flags()
	f.BoolVar(&p.dead, "dead", false, "show the dead letters")
	f.IntVarP(&p.number, "number", "n", 10, "show at most `N` messages")
	p.filterFlags.add(f)
	p.showFlags.add(f)
	p.lookFlags.add(f)
	claimVar(f, &p.claim, "show large bodies that are")
	return c
}

func (p *peekCommand) run(ctx context.Context, queue string) (err error) {
	filter, err := p.parse("peek", time.Now(), p.compile)
	if err != nil {
		return err
	}
	large, err := newClaims(ctx, "peek", p.claim)
	if err != nil {
		return err
	}
	defer closing(large, &err)
	at, source, err := p.open(ctx, p.app, queue, &filter)
	if err != nil {
		return err
	}
	defer closing(source, &err)
	inspector, err := ability[drivers.Inspector](source, "peek")
	if err != nil {
		return err
	}
	var (
		attempts int
		few      bool
	)
	if p.dead {
		attempts = p.lookable(ctx, p.app, source)
	} else {
		attempts, few = deadletter.LookAttempts(source.Capabilities())
	}
	switch {
	case few && !p.spend:
		return usage("peek: %s allows %d attempts, of which looking spends one, and a message that has used them up is dead-lettered when it is looked at: give --spend-attempts to look all the same",
			queue, attempts)
	case attempts > 0 && !p.dead:
		warnLook(p.app, queue, attempts)
	}
	shown := newShower(p.app, p.showFlags)
	hidden := false
	if p.dead {
		hidden, err = p.letters(ctx, at.Queue, source, filter, attempts, large, shown)
	} else {
		err = p.messages(ctx, source, inspector, filter, attempts, large, shown)
	}
	p.warn(p.app, at.Queue, hidden)
	if fault := shown.flush(); err == nil {
		err = fault
	}
	if err == nil && shown.n == 0 {
		p.log.Info("nothing there that can be received now", "queue", source.Capabilities().Queue, "dead_letters", p.dead)
	}
	return err
}

// letters shows dead letters, and reports whether the look at them could not see some.
func (p *peekCommand) letters(ctx context.Context, name string, source drivers.Source, filter letters.Filter, attempts int, large *claims, shown *shower) (hidden bool, err error) {
	done, err := letters.Each(ctx, source, &letters.Options{Filter: filter, Max: p.number, SpendAttempts: p.spend}, func(l letters.Letter) error {
		p.warnSpent(name, attempts, l.Message)
		l.Message = p.whole(ctx, large, l.Message)
		return shown.add(l, newPeekedLetter(l, p.body))
	})
	if err == nil {
		p.short(p.app, name, &filter, p.number, done.Seen, done.Matched)
	}
	return done.Hidden, err
}

// mostLooked is how many messages of a queue are looked at to find those that a filter
// selects: each look is a delivery.
const mostLooked = 1000

// messages shows messages of the queue itself.
func (p *peekCommand) messages(ctx context.Context, source drivers.Source, inspector drivers.Inspector, filter letters.Filter, attempts int, large *claims, shown *shower) error {
	most := p.number
	if !filter.IsZero() {
		most = max(most, mostLooked)
	}
	c := source.Capabilities()
	ms, err := inspector.Peek(ctx, most, false)
	if err != nil {
		return err
	}
	for _, m := range ms {
		p.warnSpent(c.Queue, attempts, m)
	}
	for _, m := range ms {
		l := letters.Live(m)
		if !filter.Matches(l) {
			continue
		}
		l.Message = p.whole(ctx, large, m)
		if err := shown.add(l, newPeeked(l.Message, c.AttemptKnown, p.body)); err != nil {
			return err
		}
		if shown.n == p.number {
			return nil
		}
	}
	if !filter.IsZero() && len(ms) == most {
		p.log.Warn("only the first messages were looked at", "queue", c.Queue, "messages", most)
	}
	return nil
}

// warnSpent warns of a message that the next receive dead-letters.
func (p *peekCommand) warnSpent(name string, attempts int, m *handler.Message) {
	if attempts > 0 && m.Attempt >= attempts {
		p.log.Warn("its attempts are used up: the next receive dead-letters it", "queue", name, "message", m.ID, "attempt", m.Attempt, "attempts", attempts)
	}
}

// whole returns a message with its body.
func (p *peekCommand) whole(ctx context.Context, large *claims, m *handler.Message) *handler.Message {
	m, err := large.whole(ctx, m)
	if err != nil {
		p.log.Warn("the body could not be had: its pointer is shown", "message", m.ID, "error", handler.Cause(err))
	}
	return m
}
