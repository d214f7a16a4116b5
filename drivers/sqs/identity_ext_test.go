package sqs_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	adminletters "github.com/sluice-go/sluice/admin/letters"
	"github.com/sluice-go/sluice/admin/redrive"
	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/sqs"
	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/identity"
	"github.com/sluice-go/sluice/middleware/idempotency"
	"github.com/sluice-go/sluice/producer"
)

// pair makes a queue and its dead-letter queue and returns their URLs.
func (v *virtual) pair(fifo, content bool, receives int) (queue, dead string) {
	suffix, as, dlq := "", map[string]string{"VisibilityTimeout": "10"}, map[string]string{}
	if fifo {
		suffix, as["FifoQueue"], dlq["FifoQueue"] = ".fifo", "true", "true"
	}
	if content {
		as["ContentBasedDeduplication"] = "true"
	}
	dead = v.create("orders-dlq"+suffix, dlq)
	as["RedrivePolicy"] = fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":%d}`, v.server.QueueARN("orders-dlq"+suffix), receives)
	return v.create("orders"+suffix, as), dead
}

// A job is done, its ack is lost, SQS dead-letters it, and it is redriven: it has
// one effect.
func TestAJobThatIsRedrivenIsDoneOnce(t *testing.T) {
	for _, c := range []struct {
		name      string
		fifo      bool
		content   bool
		dedupe    string
		selective bool
		// raw is sent by the sink alone, foreign by another program.
		raw, foreign bool
	}{
		{name: "standard, sender's ID, native", dedupe: "order-1"},
		{name: "standard, sender's ID, selective", dedupe: "order-1", selective: true},
		{name: "standard, no ID, native"},
		{name: "standard, no ID, selective", selective: true},
		{name: "standard, raw sink, native", raw: true},
		{name: "standard, foreign, selective", foreign: true, selective: true},
		{name: "FIFO, sender's ID, native", fifo: true, dedupe: "order-1"},
		{name: "FIFO, sender's ID, selective", fifo: true, dedupe: "order-1", selective: true},
		{name: "FIFO, an ID that SQS would refuse, native", fifo: true, dedupe: "order 1 ключ"},
		{name: "FIFO, no ID, native", fifo: true},
		{name: "FIFO, no ID, selective", fifo: true, selective: true},
		{name: "FIFO, content-based, no ID, native", fifo: true, content: true},
		{name: "FIFO, content-based, no ID, selective", fifo: true, content: true, selective: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := newVirtual(t)
				q, dead := v.pair(c.fifo, c.content, 2)
				m := &handler.Message{Body: []byte("charge 100 EUR"), Group: "g", DedupeID: c.dedupe}
				sink, err := sqs.NewSink(t.Context(), v.client, q)
				require.NoError(t, err)
				switch {
				case c.foreign:
					v.send(q, "charge 100 EUR")
				case c.raw:
					require.Nil(t, sink.Send(t.Context(), []*handler.Message{m}))
				default:
					p, err := producer.New(sink, nil)
					require.NoError(t, err)
					require.NoError(t, p.Send(t.Context(), m))
					require.NoError(t, p.Close())
				}

				keep, err := idempotency.New(idempotency.NewMemory(), nil)
				require.NoError(t, err)
				effects := 0
				h := keep(handler.HandlerFunc(func(context.Context, *handler.Message) error { effects++; return nil }))
				src, err := sqs.NewSource(t.Context(), v.client, q, nil)
				require.NoError(t, err)
				// It is handled, and no ack of it arrives.
				for range 2 {
					ds, err := src.Receive(t.Context(), 1, 20*time.Second)
					require.NoError(t, err)
					require.Len(t, ds, 1)
					require.NoError(t, h.Handle(t.Context(), ds[0].Message))
					<-time.After(11 * time.Second)
				}
				none, err := src.Receive(t.Context(), 1, time.Second)
				require.NoError(t, err)
				require.Empty(t, none)
				require.Equal(t, 1, v.depth(dead), "SQS has dead-lettered it")

				options := &redrive.Options{}
				if c.selective {
					options.Filter.Queue = src.Capabilities().Queue
				}
				result, err := redrive.Run(t.Context(), src, options)
				require.NoError(t, err)
				require.Equal(t, map[bool]redrive.Mode{false: redrive.Native, true: redrive.Selective}[c.selective], result.Mode)
				require.EqualValues(t, 1, result.Moved)

				ds, err := src.Receive(t.Context(), 1, 20*time.Second)
				require.NoError(t, err)
				require.Len(t, ds, 1)
				require.Equal(t, 1, ds[0].Message.Attempt, "a redrive starts the count anew")
				require.NoError(t, h.Handle(t.Context(), ds[0].Message))
				require.Equal(t, 1, effects)
				if c.dedupe != "" {
					require.Equal(t, c.dedupe, ds[0].Message.DedupeID)
				}
			})
		})
	}
}

// Two letters with one dedupe ID are two letters: a redrive loses none.
func TestLettersWithOneDedupeIDAreAllRedriven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVirtual(t)
		q, dead := v.pair(true, false, 1)
		src, err := sqs.NewSource(t.Context(), v.client, q, nil)
		require.NoError(t, err)
		sink, err := sqs.NewSink(t.Context(), v.client, q)
		require.NoError(t, err)
		for day := range 2 {
			m := &handler.Message{Body: fmt.Append(nil, "day ", day), Group: "g", DedupeID: "daily report"}
			require.Nil(t, sink.Send(t.Context(), []*handler.Message{m}))
			ds, err := src.Receive(t.Context(), 1, time.Second)
			require.NoError(t, err)
			require.Nil(t, src.Settle(t.Context(), []drivers.Settlement{{Receipt: ds[0].Receipt, Message: ds[0].Message, Action: handler.ActionDeadLetter}}))
			<-time.After(24 * time.Hour)
		}
		require.Equal(t, 2, v.depth(dead))
		result, err := redrive.Run(t.Context(), src, &redrive.Options{Filter: adminletters.Filter{Queue: "orders.fifo"}})
		require.NoError(t, err)
		require.EqualValues(t, 2, result.Moved)
		require.Equal(t, 2, v.depth(q))
	})
}

// Answers that are lost double nothing on a FIFO queue, whoever tries again.
func TestLostAnswersDoubleNothingOnAFIFOQueue(t *testing.T) {
	for _, c := range []struct {
		name    string
		dedupe  string
		content bool
		lost    int
	}{
		{"no ID, one lost", "", false, 1},
		{"no ID, seven lost", "", false, 7},
		{"sender's ID", "order-1", false, 7},
		{"content-based, no ID", "", true, 7},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := newVirtual(t)
				q, _ := v.pair(true, c.content, 5)
				sink, err := sqs.NewSink(t.Context(), v.client, q)
				require.NoError(t, err)
				p, err := producer.New(sink, nil)
				require.NoError(t, err)
				lost := v.server.Inject(sqstest.Fault{Action: "SendMessageBatch", Times: c.lost, DropResponse: true})
				require.NoError(t, p.Send(t.Context(), &handler.Message{Body: []byte("charge 100 EUR"), Group: "g", DedupeID: c.dedupe}))
				require.NoError(t, p.Close())
				require.Equal(t, c.lost, lost.Hits())
				require.Equal(t, 1, v.depth(q))
			})
		})
	}
}

// partial fails one entry of a batch once, by its place, as SQS may.
type partial struct {
	*awssqs.Client
	entry  int
	failed atomic.Bool
}

func (p *partial) SendMessageBatch(ctx context.Context, in *awssqs.SendMessageBatchInput, o ...func(*awssqs.Options)) (*awssqs.SendMessageBatchOutput, error) {
	if p.entry >= len(in.Entries) || p.failed.Swap(true) {
		return p.Client.SendMessageBatch(ctx, in, o...)
	}
	rest := *in
	rest.Entries = append(append(rest.Entries[:0:0], in.Entries[:p.entry]...), in.Entries[p.entry+1:]...)
	out := &awssqs.SendMessageBatchOutput{}
	if len(rest.Entries) > 0 {
		var err error
		if out, err = p.Client.SendMessageBatch(ctx, &rest, o...); err != nil {
			return nil, err
		}
	}
	failed := taken(in, p.entry)
	out.Failed = append(out.Failed, failed.Failed...)
	return out, nil
}

// A request of which an entry fails keeps the order of its group, by the producer
// and by the sink alone.
func TestAPartialFailureReordersNothing(t *testing.T) {
	for _, dedupe := range []bool{false, true} {
		for _, raw := range []bool{false, true} {
			for entry := range 3 {
				t.Run(fmt.Sprintf("dedupe=%t/raw=%t/entry=%d", dedupe, raw, entry), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						v := newVirtual(t)
						q, _ := v.pair(true, false, 5)
						api := &partial{Client: v.client, entry: entry}
						sink, err := sqs.NewSink(t.Context(), api, q)
						require.NoError(t, err)
						var ms []*handler.Message
						for i := range 9 {
							m := &handler.Message{Body: fmt.Appendf(nil, "%c%d", 'a'+i%3, i/3), Group: string(rune('a' + i%3))}
							if dedupe || raw { // who sends again gives an ID
								m.DedupeID = fmt.Sprint("d", i)
							}
							ms = append(ms, m)
						}
						if raw {
							for todo := ms; len(todo) > 0; {
								errs := sink.Send(t.Context(), todo)
								var again []*handler.Message
								for i, err := range errs {
									if err != nil {
										again = append(again, todo[i])
									}
								}
								todo = again
							}
						} else {
							p, err := producer.New(sink, nil)
							require.NoError(t, err)
							require.NoError(t, p.Send(t.Context(), ms...))
							require.NoError(t, p.Close())
						}
						require.True(t, api.failed.Load())
						got := map[string]string{}
						for {
							out, err := v.client.ReceiveMessage(t.Context(), &awssqs.ReceiveMessageInput{QueueUrl: &q, MaxNumberOfMessages: 10})
							require.NoError(t, err)
							if len(out.Messages) == 0 {
								break
							}
							for _, m := range out.Messages {
								got[(*m.Body)[:1]] += (*m.Body)[1:]
								_, err = v.client.DeleteMessage(t.Context(), &awssqs.DeleteMessageInput{QueueUrl: &q, ReceiptHandle: m.ReceiptHandle})
								require.NoError(t, err)
							}
						}
						require.Equal(t, map[string]string{"a": "012", "b": "012", "c": "012"}, got)
					})
				})
			}
		}
	}
}

// Throttled entries, lost answers and refused requests at the same time: each group comes
// in order, and each message once.
func TestSendingUnderFaultsKeepsOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, err := sqstest.New(&sqstest.Config{Seed: 7})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, server.Close()) })
		v := newVirtual(t)
		v.server, v.client = server, awssqs.New(v.client.Options(), func(o *awssqs.Options) {
			o.BaseEndpoint, o.HTTPClient = aws.String(server.URL()), server.HTTPClient()
		})
		q, _ := v.pair(true, false, 5)
		sink, err := sqs.NewSink(t.Context(), v.client, q)
		require.NoError(t, err)
		// Faults are random: with the default it would give up once in many runs.
		p, err := producer.New(sink, &producer.Config{RetryFor: time.Hour})
		require.NoError(t, err)
		send := "SendMessageBatch"
		server.Inject(sqstest.Fault{Action: send, Probability: 0.2, DropResponse: true})
		server.Inject(sqstest.Fault{Action: send, Probability: 0.2, Refuse: true})
		server.Inject(sqstest.Fault{Action: send, Probability: 0.5, Code: "RequestThrottled", Entries: func(id string) bool { return id == "0" || id == "2" }})
		var senders sync.WaitGroup
		for g := range 8 {
			senders.Go(func() {
				for i := range 20 {
					require.NoError(t, p.Send(t.Context(), &handler.Message{Body: fmt.Appendf(nil, "%d:%02d", g, i), Group: fmt.Sprint(g)}))
				}
			})
		}
		senders.Wait()
		require.NoError(t, p.Close())
		server.RemoveFaults()
		src, err := sqs.NewSource(t.Context(), v.client, q, nil)
		require.NoError(t, err)
		next := map[string]int{}
		var mu sync.Mutex
		c, err := consumer.New(src, handler.HandlerFunc(func(_ context.Context, m *handler.Message) error {
			mu.Lock()
			defer mu.Unlock()
			g, n, _ := strings.Cut(string(m.Body), ":")
			if want := fmt.Sprintf("%02d", next[g]); n != want {
				return handler.Drop(errors.New("out of order"))
			}
			next[g]++
			return nil
		}), nil)
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		require.NoError(t, c.Run(ctx))
		require.Len(t, next, 8)
		for g, n := range next {
			require.Equal(t, 20, n, "group %s", g)
		}
		require.Zero(t, c.Stats().Dropped)
	})
}

// Another program reads the user's attributes of a message that has as many as SQS
// takes.
func TestForeignConsumersReadTheUsersAttributes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, fifo := range []bool{false, true} {
			v := newVirtual(t)
			q, _ := v.pair(fifo, false, 5)
			sink, err := sqs.NewSink(t.Context(), v.client, q)
			require.NoError(t, err)
			p, err := producer.New(sink, &producer.Config{Prepare: []func(context.Context, *handler.Message) error{
				func(_ context.Context, m *handler.Message) error {
					m.SetAttribute("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
					return nil
				},
			}})
			require.NoError(t, err)
			m := &handler.Message{Body: []byte("x"), Group: "g"}
			for i := range 9 {
				m.SetAttribute(fmt.Sprint("user-", i), "v")
			}
			require.NoError(t, p.Send(t.Context(), m))
			require.NoError(t, p.Close())
			out, err := v.client.ReceiveMessage(t.Context(), &awssqs.ReceiveMessageInput{QueueUrl: &q, MessageAttributeNames: []string{"All"}, VisibilityTimeout: 1})
			require.NoError(t, err)
			require.Len(t, out.Messages, 1)
			for name, v := range m.Attributes {
				require.Equal(t, v, *out.Messages[0].MessageAttributes[name].StringValue)
			}
			<-time.After(2 * time.Second)
			src, err := sqs.NewSource(t.Context(), v.client, q, nil)
			require.NoError(t, err)
			ds, err := src.Receive(t.Context(), 1, time.Second)
			require.NoError(t, err)
			require.Len(t, ds[0].Message.Attributes, 10)
			require.True(t, identity.Made(ds[0].Message.DedupeID))
		}
	})
}
