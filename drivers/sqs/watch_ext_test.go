package sqs_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/sqs"
	"github.com/sluice-go/sluice/handler"
)

// redrive sets a queue's redrive policy; an empty name removes it.
func (v *virtual) redrive(queueURL, to string, receives int) {
	v.t.Helper()
	policy := ""
	if to != "" {
		policy = fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":%d}`, v.server.QueueARN(to), receives)
	}
	_, err := v.client.SetQueueAttributes(v.t.Context(), &awssqs.SetQueueAttributesInput{
		QueueUrl: &queueURL, Attributes: map[string]string{"RedrivePolicy": policy},
	})
	require.NoError(v.t, err)
}

// The redrive policy is changed under a consumer: rejected messages go to the
// queue that it names now, not to the one that it named before.
func TestAChangedRedrivePolicyIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVirtual(t)
		q := v.create("orders", nil)
		first, second := v.create("first", nil), v.create("second", nil)
		src, err := sqs.NewSource(t.Context(), v.client, q, nil)
		require.NoError(t, err)
		c, err := consumer.New(src, handler.HandlerFunc(func(context.Context, *handler.Message) error {
			return handler.Reject(errors.New("bad"))
		}), nil)
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		for _, step := range []struct {
			to       string
			receives int
			depths   [3]int // of the queue and of both dead-letter queues, one message later
		}{
			{"", 0, [3]int{1, 0, 0}},
			{"first", 5, [3]int{0, 2, 0}},
			{"second", 7, [3]int{0, 2, 1}},
			{"first", 3, [3]int{0, 3, 1}},
			{"", 0, [3]int{1, 3, 1}},
		} {
			v.redrive(q, step.to, step.receives)
			<-time.After(4 * time.Minute)
			require.Equal(t, drivers.Current{DeadLetterQueue: step.to, MaxAttempts: step.receives}, src.Current())
			v.send(q, "x")
			<-time.After(2 * time.Minute)
			got := [3]int{v.depth(q), v.depth(first), v.depth(second)}
			require.Equal(t, step.depths, got, "after the policy's target is %q", step.to)
		}
		cancel()
		require.NoError(t, <-done)
	})
}

// A dead-letter queue that was deleted is noticed by the letter that it does not
// get, and found when it is there again.
func TestADeletedDeadLetterQueueIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVirtual(t)
		q, dead := v.pair(false, false, 50)
		src, err := sqs.NewSource(t.Context(), v.client, q, nil)
		require.NoError(t, err)
		_, err = v.client.DeleteQueue(t.Context(), &awssqs.DeleteQueueInput{QueueUrl: &dead})
		require.NoError(t, err)
		<-time.After(61 * time.Second)
		v.send(q, "x")
		reject := func() error {
			ds, err := src.Receive(t.Context(), 1, 20*time.Second)
			require.NoError(t, err)
			require.Len(t, ds, 1)
			return errors.Join(src.Settle(t.Context(), []drivers.Settlement{{Receipt: ds[0].Receipt, Message: ds[0].Message, Action: handler.ActionDeadLetter}})...)
		}
		require.ErrorIs(t, reject(), drivers.ErrNotFound)
		require.Equal(t, "orders-dlq", src.Current().DeadLetterQueue)
		<-time.After(11 * time.Second)
		require.ErrorIs(t, reject(), drivers.ErrUnsupported, "a rejection is a retry if the queue has no dead-letter queue")
		require.Empty(t, src.Current().DeadLetterQueue)
		v.create("orders-dlq", nil)
		<-time.After(3 * time.Minute)
		require.NoError(t, reject())
		require.Equal(t, 1, v.depth(dead))
	})
}

// A source that receives nothing, as that of a console, counts, opens and purges the letters
// of the dead-letter queue that the redrive policy names now.
func TestASourceThatOnlyCountsFollowsTheRedrivePolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVirtual(t)
		q := v.create("orders", nil)
		first, second := v.create("first", nil), v.create("second", nil)
		v.redrive(q, "first", 5)
		src, err := sqs.NewSource(t.Context(), v.client, q, nil)
		require.NoError(t, err)
		v.send(first, "old")
		v.send(second, "new")
		v.send(second, "newer")
		letters := func() int64 {
			d, err := src.Depth(t.Context())
			require.NoError(t, err)
			return d.DeadLetters
		}
		require.EqualValues(t, 1, letters())

		v.redrive(q, "second", 5)
		<-time.After(11 * time.Second)
		dead, err := src.OpenDeadLetters(t.Context())
		require.NoError(t, err)
		require.Equal(t, "second", dead.Capabilities().Queue, "before anything is done with letters the policy is read")
		require.NoError(t, dead.Close())

		v.redrive(q, "first", 5)
		<-time.After(4 * time.Minute)
		require.EqualValues(t, 1, letters())
		v.redrive(q, "second", 5)
		<-time.After(4 * time.Minute)
		require.EqualValues(t, 2, letters())

		v.redrive(q, "first", 5)
		<-time.After(11 * time.Second)
		require.NoError(t, src.Purge(t.Context(), true))
		<-time.After(2 * time.Minute)
		require.Equal(t, [2]int{0, 2}, [2]int{v.depth(first), v.depth(second)})
		require.NoError(t, src.Close())
	})
}
