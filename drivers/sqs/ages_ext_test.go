package sqs_test

import (
	"cmp"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go/encoding/cbor"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/admin"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/sqs"
	"github.com/sluice-go/sluice/internal/lookonly"
)

// A cloudWatch knows the age of the oldest message of two queues, or refuses to say it.
type cloudWatch struct {
	asked  atomic.Int32
	refuse atomic.Bool
	hang   atomic.Bool
	// letters is the age of the oldest letter. Zero means a day.
	letters atomic.Int64
}

func (c *cloudWatch) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.asked.Add(1)
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	if c.hang.Load() {
		<-r.Context().Done()
		return
	}
	w.Header().Set("Smithy-Protocol", "rpc-v2-cbor")
	w.Header().Set("Content-Type", "application/cbor")
	if c.refuse.Load() {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write(cbor.Encode(cbor.Map{"__type": cbor.String("com.amazonaws.cloudwatch#AccessDenied"), "message": cbor.String("no")}))
		return
	}
	age := 120.0
	if strings.Contains(string(body), "orders-dlq") {
		age = cmp.Or(time.Duration(c.letters.Load()), 24*time.Hour).Seconds()
	}
	_, _ = w.Write(cbor.Encode(cbor.Map{"Datapoints": cbor.List{
		cbor.Map{"Timestamp": timestamp(time.Now().Add(-time.Minute)), "Maximum": cbor.Float64(age)},
	}}))
}

// watched returns a CloudWatch, and a source on a queue with a message and a letter.
func watched(t *testing.T) (*cloudWatch, drivers.Source) {
	t.Helper()
	s := server(t, nil, "")
	watch := &cloudWatch{}
	hs := httptest.NewServer(watch)
	t.Cleanup(hs.Close)
	t.Setenv("AWS_ENDPOINT_URL_CLOUDWATCH", hs.URL)
	t.Setenv("AWS_ENDPOINT_URL_SQS", s.URL())
	src, err := open(t, "awssqs:///orders?region=us-east-1", nil)
	require.NoError(t, err)
	d := depth(t, src)
	require.Zero(t, d.OldestAge, "an empty queue has no old message")
	require.Zero(t, watch.asked.Load(), "and CloudWatch is not asked for it")
	api := client(t, s.URL())
	for _, name := range []string{"orders", "orders-dlq"} {
		at, err := api.GetQueueUrl(t.Context(), &awssqs.GetQueueUrlInput{QueueName: aws.String(name)})
		require.NoError(t, err)
		_, err = api.SendMessage(t.Context(), &awssqs.SendMessageInput{QueueUrl: at.QueueUrl, MessageBody: aws.String("x")})
		require.NoError(t, err)
	}
	return watch, src
}

func depth(t *testing.T, src drivers.Source) drivers.Depth {
	t.Helper()
	d, err := drivers.ReadDepth(t.Context(), src.(drivers.Inspector))
	require.NoError(t, err)
	return d
}

// The ages come from CloudWatch, which is asked once a minute for each queue.
func TestTheAgesComeFromCloudWatch(t *testing.T) {
	watch, src := watched(t)
	for range 3 {
		d := depth(t, src)
		require.Equal(t, 2*time.Minute, d.OldestAge)
		require.EqualValues(t, 1, d.DeadLetters)
		require.Equal(t, 24*time.Hour, d.LetterAge)
		require.Equal(t, 4*24*time.Hour, d.LetterRetention)
	}
	require.EqualValues(t, 2, watch.asked.Load())
}

// Whoever only looks learns from CloudWatch that letters are near their end.
func TestOldLettersForThoseWhoOnlyLook(t *testing.T) {
	watch, _ := watched(t)
	expires := func(ctx context.Context) bool {
		found, err := admin.Examine(ctx, drivers.NewMux(new(sqs.Opener)), []admin.Target{{URL: "awssqs:///orders?region=us-east-1"}})
		require.NoError(t, err)
		return slices.ContainsFunc(found, func(f admin.Finding) bool { return f.ID == "letters-expire" })
	}
	require.False(t, expires(lookonly.Context(t.Context())), "the letter is a day old and kept for four")
	watch.letters.Store(int64(3 * 24 * time.Hour))
	require.True(t, expires(lookonly.Context(t.Context())))
	require.False(t, expires(t.Context()), "a look at the letter itself knows better: it is new")
	watch.refuse.Store(true)
	require.False(t, expires(lookonly.Context(t.Context())))
}

// Without the permission the counts are there, the ages are unknown, and CloudWatch is
// not asked again soon.
func TestWithoutCloudWatchTheAgesAreUnknown(t *testing.T) {
	watch, src := watched(t)
	watch.refuse.Store(true)
	for range 3 {
		d := depth(t, src)
		require.EqualValues(t, 1, d.Visible)
		require.Negative(t, d.OldestAge)
		require.Zero(t, d.LetterAge)
	}
	require.EqualValues(t, 1, watch.asked.Load())
}

// A CloudWatch that cannot be reached, as from a network with a way to SQS alone, does not
// hold up the counts.
func TestAHangingCloudWatchHoldsNothingUp(t *testing.T) {
	watch, src := watched(t)
	watch.hang.Store(true)
	begun := time.Now()
	d := depth(t, src)
	require.EqualValues(t, 1, d.Visible)
	require.Negative(t, d.OldestAge)
	require.Less(t, time.Since(begun), 5*time.Second)
	depth(t, src)
	require.EqualValues(t, 1, watch.asked.Load())
}

// An SQS server without CloudWatch is asked once.
func TestAServerWithSQSAlone(t *testing.T) {
	s := server(t, nil, "")
	t.Setenv("AWS_ENDPOINT_URL", s.URL())
	src, err := open(t, "awssqs:///orders?region=us-east-1", nil)
	require.NoError(t, err)
	api := client(t, s.URL())
	at, err := api.GetQueueUrl(t.Context(), &awssqs.GetQueueUrlInput{QueueName: aws.String("orders")})
	require.NoError(t, err)
	_, err = api.SendMessage(t.Context(), &awssqs.SendMessageInput{QueueUrl: at.QueueUrl, MessageBody: aws.String("x")})
	require.NoError(t, err)
	text, err := json.Marshal(depth(t, src))
	require.NoError(t, err)
	require.Contains(t, string(text), `"OldestAge":-1`)
}
