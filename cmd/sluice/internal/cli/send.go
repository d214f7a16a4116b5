package cli

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/producer"
)

// A sendCommand sends a message, or one a line.
type sendCommand struct {
	*app

	body, file string
	lines      bool
	attributes []string
	group      string
	dedupeID   string
	delay      time.Duration
	expires    time.Duration
	trace      bool
	claim      string
}

func newSend(a *app) *cobra.Command {
	s := &sendCommand{app: a}
	c := &cobra.Command{
		Use:   "send QUEUE [--body S | --file F | --lines]",
		Short: "Send a message, or one a line of stdin",
		Long: `Sends one message and prints its ID. The body is --body, the content of --file,
or else all of stdin, byte for byte. An empty body is sent only by --body ''.

With --lines every line of stdin becomes a message, without its line feed, or
carriage return and line feed if the first line ends so. Blank lines and a byte
order mark are left out. Lines are sent in batches as they arrive, and the ID of each
is printed in order. If a line cannot be sent, the command reports its number, sends
the others and exits with status 1.

A --delay that the queue cannot give (Pub/Sub: any; SQS: more than 15 minutes, or any on
a FIFO queue) goes by the table of the configuration's delay_store. The ID is then the
row's, and a relay sends the message when it is due: "sluice relay", or a service.`,
		Example: `  sluice send orders --body '{"id": 7}' --attr tenant=acme
  sluice send awssqs:///orders.fifo --group customer-1 --file order.json
  sluice send orders --lines < orders.ndjson
  sluice send orders --delay 2d --body '{"remind": 7}'`,
		Args:              a.oneQueue,
		ValidArgsFunction: a.completeQueues,
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.run(cmd, args[0])
		},
	}
	fl := c.Flags()
	fl.StringVar(&s.body, "body", "", "the body")
	allow(fl, mayBeZero, "body")
	allow(fl, mayBeBlank, "body")
	fl.StringVar(&s.file, "file", "", "`FILE` with the body")
	fl.BoolVar(&s.lines, "lines", false, "send every line of stdin as a message")
	fl.StringArrayVar(&s.attributes, "attr", nil, "attribute as `NAME=VALUE`; repeatable")
	fl.StringVar(&s.group, "group", "", "`GROUP` within which messages are handled in order")
	fl.StringVar(&s.dedupeID, "dedupe-id", "", "the message's own `ID`: a second message with it is a duplicate")
	durationVar(fl, &s.delay, "delay", "how long the message stays invisible, such as 5s")
	durationVar(fl, &s.expires, "expires", "have the message expire after this time, such as 1h: \"run\" then drops it unhandled")
	fl.BoolVar(&s.trace, "trace", false, "add a traceparent: a child of $TRACEPARENT, or the root of a new trace")
	claimVar(fl, &s.claim, "keep a body that is too large for many queues, from 240 KiB on,")
	return c
}

func (s *sendCommand) run(cmd *cobra.Command, queue string) (err error) {
	attributes, err := parseAttributes(s.attributes)
	if err != nil {
		return err
	}
	given := 0
	for _, name := range []string{"body", "file", "lines"} {
		if cmd.Flags().Changed(name) {
			given++
		}
	}
	switch {
	case given > 1:
		return usage("send: --body, --file and --lines exclude each other")
	case s.lines && s.dedupeID != "":
		return usage("send: --dedupe-id with --lines would make each line a duplicate of the first")
	case s.expires > 0 && s.expires <= s.delay:
		return usage("send: --expires %v: the message would have expired before it is delivered", s.expires)
	}
	template := handler.Message{Attributes: attributes, Group: s.group, DedupeID: s.dedupeID, Delay: s.delay}
	if s.expires > 0 {
		template.SetExpires(time.Now().Add(s.expires))
	}

	if s.lines {
		return s.open(cmd.Context(), queue, func(p *producer.Producer, stopAtFailure bool) error {
			l := &lineSender{app: s.app, producer: p, template: &template, stopAtFailure: stopAtFailure}
			return l.run(cmd.Context())
		})
	}
	// The body first: nothing is opened for one that cannot be read.
	if template.Body, err = s.readBody(cmd); err != nil {
		return err
	}
	return s.open(cmd.Context(), queue, func(p *producer.Producer, _ bool) error {
		if err := p.Send(cmd.Context(), &template); err != nil {
			return sendFault(err)
		}
		return printID(s.app, template.ID)
	})
}

// open runs do with a producer for the queue. stopAtFailure is true if a
// message must not be sent after one before it has failed.
func (s *sendCommand) open(ctx context.Context, queue string, do func(p *producer.Producer, stopAtFailure bool) error) (err error) {
	_, sink, err := s.openSink(ctx, queue)
	if err != nil {
		return err
	}
	traces, err := newTracer(ctx, s.log, s.trace, sink.Capabilities())
	if err != nil {
		return errors.Join(err, sink.Close())
	}
	defer traces.close()
	large, err := newClaims(ctx, "send", s.claim)
	if err != nil {
		return errors.Join(err, sink.Close())
	}
	defer closing(large, &err)
	p, err := producer.New(sink, &producer.Config{Prepare: large.prepare(traces.prepare()), Send: traces.send, Logger: s.log})
	if err != nil {
		return errors.Join(err, sink.Close())
	}
	defer closing(p, &err)
	return do(p, s.group != "" && sink.Capabilities().Ordered)
}

// readBody reads the body of a single message.
func (s *sendCommand) readBody(cmd *cobra.Command) ([]byte, error) {
	switch {
	case cmd.Flags().Changed("body"):
		return []byte(s.body), nil
	case cmd.Flags().Changed("file"):
		content, err := os.ReadFile(s.file)
		switch {
		case err != nil:
			return nil, usage("send: --file: %w", err)
		case len(content) == 0:
			return nil, usage("send: %s is empty: give --body '' to send an empty body", s.file)
		}
		return content, nil
	default:
		if terminal(s.in) {
			s.log.Info("reading the body from the terminal: Ctrl-D ends it, Ctrl-C sends nothing")
		}
		content, err := readAll(cmd.Context(), s.in)
		if err == nil && len(content) == 0 {
			return nil, usage("send: stdin is empty: give --body '' to send an empty body")
		}
		return content, err
	}
}

// printID prints the ID of a message that was sent.
func printID(a *app, id string) error {
	return a.print(struct {
		ID string `json:"id"`
	}{id}, "%s\n", id)
}

// sendFault returns the one failure of a message that was sent alone, without
// the count that a SendError begins with.
func sendFault(err error) error {
	var many *producer.SendError
	if errors.As(err, &many) && len(many.Failed) == 1 && many.Sent == 0 {
		return many.Failed[0].Err
	}
	return err
}
