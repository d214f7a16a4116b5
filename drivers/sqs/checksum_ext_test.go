package sqs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/sqs"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/test/output"
)

// damaging changes "evil" to "EVIL" in answers to ReceiveMessage, as a bad cable
// would.
type damaging struct {
	next   *http.Client
	mended func() bool // from then on it does not
}

func (d damaging) Do(r *http.Request) (*http.Response, error) {
	out, err := d.next.Do(r)
	if err != nil || r.Header.Get("X-Amz-Target") != "AmazonSQS.ReceiveMessage" || d.mended != nil && d.mended() {
		return out, err
	}
	body, err := io.ReadAll(out.Body)
	if err != nil {
		return nil, err
	}
	out.Body = io.NopCloser(bytes.NewReader(bytes.ReplaceAll(body, []byte("evil"), []byte("EVIL"))))
	out.Header.Del("X-Amz-Crc32")
	return out, nil
}

func (v *virtual) damaged(mended func() bool) *awssqs.Client {
	return awssqs.New(v.client.Options(), func(o *awssqs.Options) { o.HTTPClient = damaging{v.server.HTTPClient(), mended} })
}

// A message that comes damaged is nobody's but its own trouble: the others of its
// receive are delivered, and it comes again.
func TestADamagedMessageKeepsNoOthersBack(t *testing.T) {
	for _, c := range []struct {
		name   string
		fifo   bool
		bodies string // those that begin with evil are damaged; the group is the part after the colon
		want   string
		err    string
		whole  string // once the cable is mended
	}{
		{"one of five", false, "a evil b c d", "a b c d", "1 of 5 messages were damaged", "evil"},
		{"all", false, "evil1 evil2", "", "2 of 2 messages were damaged", "evil1 evil2"},
		{"none", false, "a b", "a b", "", ""},
		{"FIFO: its group waits", true, "a:g evil:g b:g c:h", "a:g c:h", "1 of 4 messages were damaged and stay in the queue until their leases end, with 1 later ones", "evil:g b:g"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := newVirtual(t)
				name, as := "orders", map[string]string{"VisibilityTimeout": "10"}
				if c.fifo {
					name, as["FifoQueue"] = "orders.fifo", "true"
				}
				q := v.create(name, as)
				sink, err := sqs.NewSink(t.Context(), v.client, q)
				require.NoError(t, err)
				for _, body := range strings.Fields(c.bodies) {
					_, group, _ := strings.Cut(body, ":")
					require.Nil(t, sink.Send(t.Context(), texts(group, body)))
				}
				mended := false
				src, err := sqs.NewSource(t.Context(), v.damaged(func() bool { return mended }), q, nil)
				require.NoError(t, err)
				ds, err := src.Receive(t.Context(), 10, time.Second)
				require.ElementsMatch(t, strings.Fields(c.want), bodiesOf(ds))
				if c.err == "" {
					require.NoError(t, err)
				} else {
					require.ErrorIs(t, err, drivers.ErrTransient)
					require.ErrorContains(t, err, c.err)
				}
				for _, d := range ds {
					require.Nil(t, src.Settle(t.Context(), []drivers.Settlement{{Receipt: d.Receipt, Action: handler.ActionAck}}))
				}
				mended = true
				<-time.After(11 * time.Second)
				again, err := src.Receive(t.Context(), 10, time.Second)
				require.NoError(t, err)
				require.ElementsMatch(t, strings.Fields(c.whole), bodiesOf(again))
			})
		})
	}
}

func bodiesOf(ds []drivers.Delivery) []string {
	var out []string
	for _, d := range ds {
		out = append(out, string(d.Message.Body))
	}
	return out
}

// A consumer handles the others, and logs the one.
func TestAConsumerWorksBesideADamagedMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVirtual(t)
		q := v.create("orders", map[string]string{"VisibilityTimeout": "60"})
		for i := range 50 {
			body := fmt.Sprint("good", i)
			if i%10 == 2 {
				body = fmt.Sprint("evil", i)
			}
			v.send(q, body)
		}
		src, err := sqs.NewSource(t.Context(), v.damaged(nil), q, nil)
		require.NoError(t, err)
		var mu sync.Mutex
		ran := map[string]bool{}
		h := handler.HandlerFunc(func(_ context.Context, m *handler.Message) error {
			mu.Lock()
			defer mu.Unlock()
			ran[string(m.Body)] = true
			return nil
		})
		var text output.Buffer
		c, err := consumer.New(src, h, &consumer.Config{Logger: slog.New(slog.NewTextHandler(&text, nil))})
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		require.NoError(t, c.Run(ctx))
		require.Len(t, ran, 45)
		require.Contains(t, text.String(), "damaged messages were received")
		require.Contains(t, text.String(), "the MD5 of its body is not")
		require.Equal(t, 5, v.depth(q))
	})
}

// garbling changes the MD5 of the first message in answers to SendMessageBatch.
type garbling struct{ next *http.Client }

func (g garbling) Do(r *http.Request) (*http.Response, error) {
	out, err := g.next.Do(r)
	if err != nil || r.Header.Get("X-Amz-Target") != "AmazonSQS.SendMessageBatch" {
		return out, err
	}
	body, err := io.ReadAll(out.Body)
	if err != nil {
		return nil, err
	}
	out.Body = io.NopCloser(bytes.NewReader(bytes.Replace(body, []byte(`"MD5OfMessageBody":"`), []byte(`"MD5OfMessageBody":"g`), 1)))
	return out, nil
}

// A message that SQS stored damaged is reported; the others of its request were sent.
func TestAMessageStoredDamagedIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVirtual(t)
		q := v.create("orders", nil)
		sink, err := sqs.NewSink(t.Context(), awssqs.New(v.client.Options(), func(o *awssqs.Options) { o.HTTPClient = garbling{v.server.HTTPClient()} }), q)
		require.NoError(t, err)
		ms := texts("", "a", "b", "c")
		errs := sink.Send(t.Context(), ms)
		require.Len(t, errs, 3)
		require.ErrorIs(t, errs[0], drivers.ErrTransient)
		require.ErrorContains(t, errs[0], "the MD5 of the body that SQS stored is not the message's")
		require.NoError(t, errors.Join(errs[1:]...))
		require.NotEmpty(t, ms[1].ID)
	})
}
