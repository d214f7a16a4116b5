package queue_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/queue"
)

func TestMessagesArriveAsTheyWereSent(t *testing.T) {
	stores(t, func(b *bench) {
		b.create("q", queue.Config{})
		for _, m := range []queue.Message{
			{},
			{Body: []byte{}},
			{Body: []byte("plain"), Attributes: map[string]string{}},
			{ID: "given", Body: []byte("a\x00\xff\xfe"), Attributes: map[string]string{"": "", "k": "v\x00\xff", "ключ 🔑": "\n"}},
			{Body: []byte("grouped"), Group: "g\x00\xff", DedupeID: "d\x00"},
			{Body: []byte(strings.Repeat("x", 1<<20)), Extra: []byte("extra"), Attributes: map[string]string{"long": strings.Repeat("y", 1<<16)}},
			{Extra: []byte(strings.Repeat("z", 1<<16))},
		} {
			sent := b.send("q", m)[0]
			if m.ID == "" {
				require.Len(b, sent.ID, 36)
			} else {
				require.Equal(b, m.ID, sent.ID)
			}
			require.Equal(b, b.clock.Now().UnixNano(), sent.EnqueuedAt.UnixNano())
			require.Positive(b, sent.Sequence)

			got := b.receiveOne("q")
			require.Equal(b, string(m.Body), string(got.Body))
			require.Equal(b, string(m.Extra), string(got.Extra))
			require.Len(b, got.Attributes, len(m.Attributes))
			for k, v := range m.Attributes {
				require.Equal(b, v, got.Attributes[k])
			}
			require.Equal(b, m.Group, got.Group)
			require.Equal(b, m.DedupeID, got.DedupeID)
			require.Equal(b, sent.ID, got.ID)
			require.Equal(b, sent.Sequence, got.Sequence)
			require.Equal(b, sent.EnqueuedAt, got.EnqueuedAt)
			require.Equal(b, 1, got.Receives)
			require.Equal(b, b.clock.Now().UnixNano(), got.FirstReceived.UnixNano())
			require.Equal(b, b.clock.Now().Add(time.Minute).UnixNano(), got.Deadline.UnixNano())
			require.Empty(b, got.Source)
			b.delete("q", got)
		}
		b.counts("q", 0, 0, 0)
	})
}

func TestNothingIsSharedWithTheCaller(t *testing.T) {
	stores(t, func(b *bench) {
		b.create("q", queue.Config{})
		m := queue.Message{Body: []byte("body"), Extra: []byte("extra"), Attributes: map[string]string{"k": "v"}}
		spoil := func(m *queue.Message) { m.Body[0], m.Extra[0], m.Attributes["k"] = '!', '!', "!" }
		intact := func(m *queue.Message) {
			b.Helper()
			require.Equal(b, "body extra v", string(m.Body)+" "+string(m.Extra)+" "+m.Attributes["k"])
		}
		sent := b.send("q", m)
		spoil(&sent[0])
		for range 3 {
			got := b.receiveOne("q")
			intact(&got.Message)
			spoil(&got.Message)
			b.change("q", 0, got)
			peeked, err := b.Peek(b.ctx, "q", 1)
			require.NoError(b, err)
			intact(&peeked[0])
			spoil(&peeked[0])
		}
	})
}

func TestReceiveIsInTheOrderOfBecomingVisible(t *testing.T) {
	stores(t, func(b *bench) {
		b.create("q", queue.Config{})
		b.send("q", text("a", "b", "c")...)
		b.clock.Advance(time.Second)
		b.send("q", queue.Message{Body: []byte("late"), Delay: time.Second}, queue.Message{Body: []byte("now")})
		first := b.receive("q", 2)
		require.Equal(b, []string{"a", "b"}, bodies(first))
		b.clock.Advance(2 * time.Second)
		b.change("q", 0, first[1])
		b.send("q", text("last")...)
		require.Equal(b, []string{"c", "now", "late", "b", "last"}, bodies(b.receive("q", 10)))
	})
}

func TestLeaseEnds(t *testing.T) {
	stores(t, func(b *bench) {
		b.create("q", queue.Config{Visibility: 10 * time.Second})
		b.send("q", text("x")...)
		first := b.receiveBy("q", queue.ReceiveRequest{Max: 1, Visibility: -1})
		require.Len(b, first, 1)
		require.Equal(b, b.clock.Now().Add(10*time.Second).UnixNano(), first[0].Deadline.UnixNano())
		b.counts("q", 0, 1, 0)
		b.clock.Advance(10*time.Second - 1)
		require.Empty(b, b.receive("q", 1))
		b.clock.Advance(1)
		b.counts("q", 1, 0, 0)
		again := b.receiveOne("q")
		require.Equal(b, 2, again.Receives)
		require.Equal(b, first[0].ID, again.ID)
		require.Equal(b, first[0].FirstReceived, again.FirstReceived)
		require.NotEqual(b, first[0].Receipt, again.Receipt)
	})
}

func TestDeleteByReceipt(t *testing.T) {
	stores(t, func(b *bench) {
		b.create("q", queue.Config{})
		b.create("other", queue.Config{})
		b.send("q", text("a", "b", "c")...)
		rs := b.receive("q", 3)
		require.Equal(b, []error{queue.ErrReceipt}, b.Delete(b.ctx, "other", receipts(rs[:1])), "another queue's receipt")

		errs := b.Delete(b.ctx, "q", []string{rs[0].Receipt, "", "nonsense", strings.Repeat("f", 32), strings.Repeat("0", 32), rs[2].Receipt, rs[2].Receipt})
		want := []error{nil, queue.ErrReceipt, queue.ErrReceipt, queue.ErrReceipt, queue.ErrReceipt, nil, queue.ErrReceipt}
		require.Equal(b, want, errs)
		b.counts("q", 0, 1, 0)

		// An old receipt is good until the message is received again.
		b.clock.Advance(time.Hour)
		again := b.receiveOne("q")
		require.Equal(b, []error{queue.ErrReceipt}, b.Delete(b.ctx, "q", receipts(rs[1:2])))
		b.clock.Advance(time.Hour)
		b.delete("q", again)
		b.counts("q", 0, 0, 0)
		require.Nil(b, b.Delete(b.ctx, "q", nil))
	})
}

func TestChange(t *testing.T) {
	stores(t, func(b *bench) {
		b.create("q", queue.Config{})
		b.send("q", text("a", "b", "c")...)
		rs := b.receive("q", 3)
		errs := b.Change(b.ctx, "q", []queue.Change{
			{Receipt: rs[0].Receipt, By: time.Hour}, {Receipt: "nonsense", By: time.Hour}, {Receipt: rs[1].Receipt, By: time.Second},
		})
		require.Equal(b, []error{nil, queue.ErrReceipt, nil}, errs)
		b.clock.Advance(time.Second)
		require.Equal(b, []string{"b"}, bodies(b.receive("q", 3)), "a lease is set, not added to")
		require.Equal(b, []error{queue.ErrReceipt}, b.Change(b.ctx, "q", []queue.Change{{Receipt: rs[1].Receipt, By: time.Hour}}), "received again")
		b.change("q", 0, rs[2])
		require.Equal(b, []error{queue.ErrReceipt}, b.Change(b.ctx, "q", []queue.Change{{Receipt: rs[2].Receipt, By: time.Hour}}), "given back")
		require.Equal(b, []string{"c"}, bodies(b.receive("q", 3)))
		b.clock.Advance(2 * time.Minute)
		require.Equal(b, []string{"b", "c"}, bodies(b.receive("q", 3)), "a is still held")
		b.clock.Advance(time.Hour)
		require.Equal(b, []error{queue.ErrReceipt}, b.Change(b.ctx, "q", []queue.Change{{Receipt: rs[0].Receipt, By: time.Hour}}), "its lease has ended")
		b.delete("q", rs[0])
	})
}

func TestVisibilityZero(t *testing.T) {
	stores(t, func(b *bench) {
		for _, ordered := range []bool{false, true} {
			name := fmt.Sprint("q", ordered)
			b.create(name, queue.Config{Ordered: ordered})
			b.send(name, text("g/a", "g/b", "c")...)
			for n := range 3 {
				got := b.receiveBy(name, queue.ReceiveRequest{Max: 10, Visibility: 0})
				require.ElementsMatch(b, []string{"a", "b", "c"}, bodies(got))
				require.Equal(b, n+1, got[0].Receives)
				require.Equal(b, b.clock.Now().UnixNano(), got[0].Deadline.UnixNano())
			}
			b.counts(name, 3, 0, 0)
		}
	})
}

func TestDelay(t *testing.T) {
	stores(t, func(b *bench) {
		b.create("q", queue.Config{Delay: 5 * time.Second})
		b.send("q",
			queue.Message{Body: []byte("queue's"), Delay: -1}, queue.Message{Body: []byte("own"), Delay: time.Second}, queue.Message{Body: []byte("none")})
		b.counts("q", 1, 0, 2)
		require.Equal(b, []string{"none"}, bodies(b.receive("q", 5)))
		b.clock.Advance(time.Second)
		require.Equal(b, []string{"own"}, bodies(b.receive("q", 5)))
		b.clock.Advance(4*time.Second - 1)
		require.Empty(b, b.receive("q", 5))
		b.clock.Advance(1)
		require.Equal(b, []string{"queue's"}, bodies(b.receive("q", 5)))
		b.counts("q", 0, 3, 0)
	})
}

func TestRetention(t *testing.T) {
	stores(t, func(b *bench) {
		b.create("q", queue.Config{Retention: time.Hour, Ordered: true})
		b.send("q", text("old", "g/held", "g/next")...)
		held := b.receive("q", 2)
		b.clock.Advance(30 * time.Minute)
		b.change("q", 5*time.Hour, b.receive("q", 1)...) // old is back, and is held again
		b.send("q", text("young", "g/young")...)
		require.Equal(b, b.clock.Now().Add(-30*time.Minute).UnixNano(), b.stats("q").Oldest.UnixNano())
		b.clock.Advance(30*time.Minute - 1)
		b.counts("q", 4, 1, 0)
		b.clock.Advance(1)
		b.counts("q", 2, 0, 0)
		require.Equal(b, []error{queue.ErrReceipt}, b.Delete(b.ctx, "q", receipts(held[:1])))
		peeked, err := b.Peek(b.ctx, "q", 10)
		require.NoError(b, err)
		require.Len(b, peeked, 2)
		require.Equal(b, []string{"young", "young"}, bodies(b.receive("q", 10)))
		b.clock.Advance(time.Hour)
		b.counts("q", 0, 0, 0)
		require.True(b, b.stats("q").Oldest.IsZero())

		b.send("q", numbered(5000)...)
		b.clock.Advance(time.Hour)
		b.send("q", text("new")...)
		require.Equal(b, []string{"new"}, bodies(b.receive("q", 10)))
	})
}

func TestRepeatedAttempt(t *testing.T) {
	stores(t, func(b *bench) {
		b.create("q", queue.Config{Ordered: true})
		b.send("q", text("g/a", "g/b", "c")...)
		b.send("q", queue.Message{Body: make([]byte, 5000)})
		ask := queue.ReceiveRequest{Max: 10, Visibility: time.Minute, AttemptID: "one"}
		first := b.receiveBy("q", ask)
		require.Len(b, first, 4)
		b.clock.Advance(50 * time.Second)
		again := b.receiveBy("q", ask)
		require.Equal(b, receipts(first), receipts(again))
		require.Equal(b, bodies(first), bodies(again))
		require.Equal(b, 1, again[0].Receives)
		require.Equal(b, b.clock.Now().Add(time.Minute).UnixNano(), again[0].Deadline.UnixNano(), "the lease begins anew")
		require.Empty(b, b.receiveBy("q", queue.ReceiveRequest{Max: 10, Visibility: time.Minute, AttemptID: "two"}))

		b.clock.Advance(50 * time.Second)
		b.delete("q", first[0])
		require.Empty(b, b.receiveBy("q", ask), "one of them was deleted")
		b.clock.Advance(10 * time.Second)
		fresh := b.receiveBy("q", ask)
		require.Len(b, fresh, 3, "the leases have ended: a receive like any other")
		b.change("q", time.Minute+1, fresh[1])
		require.Empty(b, b.receiveBy("q", ask), "a lease was changed")

		b.clock.Advance(time.Hour)
		held := b.receiveBy("q", queue.ReceiveRequest{Max: 10, Visibility: time.Hour, AttemptID: "three"})
		require.Len(b, held, 3)
		b.clock.Advance(5 * time.Minute)
		require.Empty(b, b.receiveBy("q", queue.ReceiveRequest{Max: 10, Visibility: time.Hour, AttemptID: "three"}), "after five minutes")
	})
}

func TestWaitingReceiveNotices(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(b *bench)
	}{
		{"a send", func(b *bench) { b.send("q", text("x")...) }},
		{"a delay that ends", func(b *bench) {
			b.send("q", queue.Message{Delay: time.Second})
			b.until(func() bool { return b.clock.Waiting() > 1 })
			b.clock.Advance(time.Second)
		}},
		{"a lease that ends", func(b *bench) {
			b.Helper()
			b.clock.Advance(5 * time.Second)
		}},
		{"a message that is given back", func(b *bench) { b.change("q", 0, b.held...) }},
		{"a message that is deleted from its group", func(b *bench) { b.delete("q", b.held...) }},
		{"a dead letter", func(b *bench) {
			b.create("source", queue.Config{DeadLetter: "q"})
			b.send("source", text("x")...)
			require.Nil(b, b.Reject(b.ctx, "source", []queue.Rejection{{Receipt: b.receiveOne("source").Receipt}}))
		}},
		{"a moved message", func(b *bench) {
			b.create("source", queue.Config{})
			b.send("source", text("x")...)
			_, err := b.StartMove(b.ctx, "source", "q", 0)
			require.NoError(b, err)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			stores(t, func(b *bench) {
				b.create("q", queue.Config{Ordered: true})
				b.send("q", text("g/head", "g/next")...)
				b.held = b.receiveBy("q", queue.ReceiveRequest{Max: 1, Visibility: 5 * time.Second})
				came := make(chan []queue.Received, 1)
				go func() {
					rs, err := b.Receive(b.ctx, "q", queue.ReceiveRequest{Max: 1, Visibility: time.Minute, Wait: 20 * time.Second})
					if err != nil {
						b.Error(err)
					}
					came <- rs
				}()
				b.until(func() bool { return b.clock.Waiting() > 0 })
				c.do(b)
				select {
				case rs := <-came:
					require.Len(b, rs, 1)
				case <-time.After(10 * time.Second):
					b.Fatal("the receive did not return")
				}
			})
		})
	}
}

func TestWaitingReceiveEnds(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(b *bench, cancel func())
		want error
	}{
		{"with its time", func(b *bench, _ func()) { b.clock.Advance(20 * time.Second) }, nil},
		{"with its context", func(_ *bench, cancel func()) { cancel() }, context.Canceled},
		{"with the engine", func(b *bench, _ func()) { require.NoError(b, b.Close()) }, queue.ErrClosed},
		{"with the queue", func(b *bench, _ func()) { require.NoError(b, b.Remove(b.ctx, "q")) }, queue.ErrNotFound},
	} {
		t.Run(c.name, func(t *testing.T) {
			stores(t, func(b *bench) {
				b.create("q", queue.Config{})
				ctx, cancel := context.WithCancel(b.ctx)
				defer cancel()
				const n = 3
				ended := make(chan error, n)
				for range n {
					go func() {
						rs, err := b.Receive(ctx, "q", queue.ReceiveRequest{Max: 1, Wait: 20 * time.Second})
						if len(rs) > 0 {
							err = errors.New("messages out of nowhere")
						}
						ended <- err
					}()
				}
				b.until(func() bool { return b.clock.Waiting() >= n })
				c.do(b, cancel)
				for range n {
					select {
					case err := <-ended:
						require.ErrorIs(b, err, c.want)
					case <-time.After(10 * time.Second):
						b.Fatal("the receive did not return")
					}
				}
			})
		})
	}
}

// TestEveryWaiterIsServed sends as many messages as there are receives that
// wait, in one batch and one by one.
func TestEveryWaiterIsServed(t *testing.T) {
	stores(t, func(b *bench) {
		b.create("q", queue.Config{})
		for _, single := range []bool{false, true} {
			const n = 20
			came := make(chan int, n)
			for range n {
				go func() {
					rs, err := b.Receive(b.ctx, "q", queue.ReceiveRequest{Max: 1, Visibility: time.Minute, Wait: 20 * time.Second})
					if err != nil {
						b.Error(err)
					}
					came <- len(rs)
				}()
			}
			b.until(func() bool { return b.clock.Waiting() >= n })
			if single {
				for i := range n {
					b.send("q", text(fmt.Sprint(i))...)
				}
			} else {
				b.send("q", numbered(n)...)
			}
			for range n {
				select {
				case got := <-came:
					require.Equal(b, 1, got)
				case <-time.After(10 * time.Second):
					b.Fatal("a receive waits though there are messages")
				}
			}
			b.clock.Advance(30 * time.Second) // nobody waits for that any more
		}
	})
}
