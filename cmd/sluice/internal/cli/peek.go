package cli

import (
	"context"
	"encoding/base64"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/deadletter"
	"github.com/sluice-go/sluice/handler"
)

// The most of a body that peek shows, unless told otherwise.
const defaultBodyLimit = 256

func (a *app) peekCommand() *cobra.Command {
	var (
		dead, spend  bool
		number, body int
		claim        string
	)
	c := &cobra.Command{
		Use:   "peek QUEUE",
		Short: "Show messages and leave them in the queue",
		Long: `Shows messages of the queue, or of its dead-letter queue, with ID, attempt,
attributes and the beginning of the body, and returns them immediately. Of a dead
letter it shows the reason first.

SQS and Pub/Sub have no way to look at a message without receiving it: there,
peek counts as a delivery attempt. A message that has used all attempts of its queue
goes to the dead-letter queue at the next receive, even if that is peek's, and peek
cannot know this before. Therefore it refuses queues that allow three attempts or
fewer, unless --spend-attempts is given, and warns about the others. The embedded
queue can be read without an attempt: there a new message has had 0.`,
		Example: `  sluice peek orders
  sluice peek orders --dead -n 100 -o json`,
		Args:              a.queueArgs(1),
		ValidArgsFunction: a.completeQueues,
		RunE: func(cmd *cobra.Command, args []string) error {
			if number < 1 {
				return usage("peek: -n %d is below 1", number)
			}
			if body < 0 {
				return usage("peek: --body-limit %d is below zero", body)
			}
			return a.peek(cmd.Context(), args[0], number, dead, spend, body, claim)
		},
	}
	f := c.Flags()
	f.BoolVar(&dead, "dead", false, "show the dead letters")
	f.BoolVar(&spend, "spend-attempts", false, "look at a queue with few attempts, though it may dead-letter messages")
	f.IntVarP(&number, "number", "n", 10, "show at most `N` messages")
	f.IntVar(&body, "body-limit", defaultBodyLimit, "show at most `BYTES` of each body; 0 shows all")
	claimVar(f, &claim, "show large bodies that are")
	return c
}

// peeked is a message as peek shows it.
type peeked struct {
	ID         string            `json:"id"`
	Attempt    *int              `json:"attempt"` // nil if the provider does not report it
	Reason     string            `json:"reason,omitempty"`
	EnqueuedAt *time.Time        `json:"enqueued_at,omitempty"`
	Group      string            `json:"group,omitempty"`
	DedupeID   string            `json:"dedupe_id,omitempty"`
	Attributes map[string]string `json:"attributes"`
	// Body or, if it is not text, BodyBase64; BodyBytes is its whole length.
	Body       *string `json:"body,omitempty"`
	BodyBase64 string  `json:"body_base64,omitempty"`
	BodyBytes  int     `json:"body_bytes"`
	Cut        bool    `json:"body_cut"`
}

// newPeeked shows a message. counted is whether the provider counts attempts, so
// that 0 is a number.
func newPeeked(m *handler.Message, counted bool, limit int) peeked {
	p := peeked{ID: m.ID, Group: m.Group, DedupeID: m.DedupeID, Attributes: m.Attributes, BodyBytes: len(m.Body)}
	if p.Attributes == nil {
		p.Attributes = map[string]string{}
	}
	if m.Attempt > 0 || counted {
		p.Attempt = &m.Attempt
	}
	if !m.EnqueuedAt.IsZero() {
		at := m.EnqueuedAt.UTC()
		p.EnqueuedAt = &at
	}
	if letter, ok := drivers.ParseFailure(m.Attributes); ok {
		p.Reason = letter.Reason
	}
	body, text := m.Body, utf8.Valid(m.Body)
	if limit > 0 && len(body) > limit {
		p.Cut = true
		body = body[:limit]
		for text && !utf8.Valid(body) {
			body = body[:len(body)-1] // between two characters
		}
	}
	if text {
		s := string(body)
		p.Body = &s
	} else {
		p.BodyBase64 = base64.StdEncoding.EncodeToString(body)
	}
	return p
}

// fewAttempts is the most attempts of a queue at which a look needs a flag: so few
// that a message is likely at its last when someone wants to look at it.
const fewAttempts = 3

// attemptsOf is how many attempts the queue that is looked at allows, 0 if it has no
// limit, or if looking spends none.
func attemptsOf(ctx context.Context, source drivers.Source, dead bool) int {
	c := source.Capabilities()
	if dead {
		d, ok := source.(deadletter.Opener)
		if !ok {
			return 0
		}
		letters, err := d.OpenDeadLetters(ctx)
		if err != nil {
			return 0 // the look says why
		}
		c = letters.Capabilities()
		_ = letters.Close()
	}
	if c.FreeRelease { // an embedded queue is only read
		return 0
	}
	return c.MaxAttempts
}

func (a *app) peek(ctx context.Context, queue string, number int, dead, spend bool, limit int, claim string) (err error) {
	large, err := newClaims(ctx, "peek", claim)
	if err != nil {
		return err
	}
	defer closing(large, &err)
	_, source, err := a.source(ctx, queue)
	if err != nil {
		return err
	}
	defer closing(source, &err)
	inspector, err := ability[drivers.Inspector](source, "peek")
	if err != nil {
		return err
	}
	attempts := attemptsOf(ctx, source, dead)
	switch {
	case attempts > 0 && attempts <= fewAttempts && !spend:
		return usage("peek: %s allows %d attempts, of which looking spends one, and a message that has used them up is dead-lettered when it is looked at: give --spend-attempts to look all the same",
			queue, attempts)
	case attempts > 0:
		a.log.Warn("looking spends an attempt of each message, and dead-letters one that has used them up", "queue", queue, "attempts", attempts)
	}
	ms, err := inspector.Peek(ctx, number, dead)
	if err != nil {
		return err
	}
	for _, m := range ms {
		if attempts > 0 && m.Attempt >= attempts {
			a.log.Warn("its attempts are used up: the next receive dead-letters it", "queue", queue, "message", m.ID, "attempt", m.Attempt, "attempts", attempts)
		}
	}
	for i, m := range ms {
		m, err := large.whole(ctx, m)
		if err != nil {
			a.log.Warn("the body could not be had: its pointer is shown", "message", m.ID, "error", handler.Cause(err))
		}
		p := newPeeked(m, source.Capabilities().AttemptKnown, limit)
		if a.asJSON() {
			err = a.printJSON(p)
		} else {
			err = a.printPeeked(p, i > 0)
		}
		if err != nil {
			return err
		}
	}
	if len(ms) == 0 {
		a.log.Info("nothing there that can be received now", "queue", source.Capabilities().Queue, "dead_letters", dead)
	}
	return nil
}

func (a *app) printPeeked(p peeked, apart bool) error {
	var b strings.Builder
	if apart {
		b.WriteString("\n")
	}
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%-9s %s\n", name, value)
		}
	}
	line("id", printable(p.ID)) // on NATS and its like the sender gives it
	if p.Attempt != nil {
		line("attempt", strconv.Itoa(*p.Attempt))
	}
	line("reason", printable(p.Reason))
	if p.EnqueuedAt != nil {
		line("enqueued", p.EnqueuedAt.Format(time.RFC3339))
	}
	line("group", printable(p.Group))
	line("dedupe-id", printable(p.DedupeID))
	names := make([]string, 0, len(p.Attributes))
	for name := range p.Attributes {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		shown := printable(name)
		if strings.ContainsAny(name, `="`) {
			shown = strconv.Quote(name) // so that the end of the name is plain
		}
		line("attribute", shown+"="+printable(p.Attributes[name]))
	}
	var body string
	switch {
	case p.BodyBytes == 0:
		body = "(empty)"
	case p.Body != nil:
		body = printable(*p.Body)
	default:
		body = "(base64) " + p.BodyBase64
	}
	if p.Cut {
		body += fmt.Sprintf(" ... (%d bytes)", p.BodyBytes)
	}
	line("body", body)
	return a.printf("%s", b.String())
}

// printable is text as it is, unless it has characters that would act on a
// terminal or break the line: then it is quoted.
func printable(s string) string {
	for _, r := range s {
		if !strconv.IsPrint(r) {
			return strconv.Quote(s)
		}
	}
	return s
}
