package sqs_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
	"github.com/sluice-go/sluice/handler"
)

// The messages of a receive whose answer was lost come with the next one on a
// FIFO queue; on a standard one they are not asked for again behind the caller's
// back.
func TestAnswerOfAReceiveIsLost(t *testing.T) {
	t.Run("FIFO", func(t *testing.T) {
		s := server(t, nil, ".fifo")
		send(t, s.URL(), "orders.fifo", &handler.Message{Body: []byte("a"), Group: "g"}, &handler.Message{Body: []byte("b"), Group: "g"})
		src, err := open(t, sqsURL(s.URL(), "orders.fifo"), nil)
		require.NoError(t, err)
		lost := s.Inject(sqstest.Fault{Action: "ReceiveMessage", DropResponse: true, Times: 1})
		_, err = src.Receive(t.Context(), 10, 0)
		require.ErrorIs(t, err, drivers.ErrTransient)
		require.Equal(t, 1, lost.Hits())
		ds, err := src.Receive(t.Context(), 10, 0)
		require.NoError(t, err)
		require.Len(t, ds, 2)
		require.Equal(t, 1, ds[0].Message.Attempt)
	})
	t.Run("standard", func(t *testing.T) {
		s := server(t, nil, "")
		send(t, s.URL(), "orders", &handler.Message{Body: []byte("a")}, &handler.Message{Body: []byte("b")})
		src, err := open(t, sqsURL(s.URL(), "orders"), nil)
		require.NoError(t, err)
		lost := s.Inject(sqstest.Fault{Action: "ReceiveMessage", DropResponse: true})
		before := s.Count("ReceiveMessage")
		_, err = src.Receive(t.Context(), 1, 0)
		require.ErrorIs(t, err, drivers.ErrTransient)
		require.Equal(t, 1, lost.Hits())
		require.Equal(t, before+1, s.Count("ReceiveMessage"), "the SDK tried again")
	})
}

// A connection that dies under a settlement is tried once more, immediately.
func TestConnectionDiesUnderASettlement(t *testing.T) {
	s := server(t, nil, "")
	send(t, s.URL(), "orders", &handler.Message{Body: []byte("a")})
	src, err := open(t, sqsURL(s.URL(), "orders"), nil)
	require.NoError(t, err)
	d := receive(t, src, 1)[0]
	refused := s.Inject(sqstest.Fault{Action: "DeleteMessageBatch", Refuse: true, Times: 1})
	begin := time.Now()
	require.Nil(t, src.Settle(t.Context(), []drivers.Settlement{{Receipt: d.Receipt, Action: handler.ActionAck}}))
	require.Equal(t, 1, refused.Hits())
	require.Less(t, time.Since(begin), 5*time.Second)

	down := s.Inject(sqstest.Fault{Action: "DeleteMessageBatch", Refuse: true})
	errs := src.Settle(t.Context(), []drivers.Settlement{{Receipt: d.Receipt, Action: handler.ActionAck}})
	require.ErrorIs(t, errs[0], drivers.ErrTransient)
	require.Equal(t, 2, down.Hits(), "beyond that the caller decides")
}

func TestEntryFailsBesideOthers(t *testing.T) {
	s := server(t, nil, "")
	var ms []*handler.Message
	for i := range 3 {
		ms = append(ms, &handler.Message{Body: fmt.Append(nil, i)})
	}
	send(t, s.URL(), "orders", ms...)
	src, err := open(t, sqsURL(s.URL(), "orders"), nil)
	require.NoError(t, err)
	ds := receive(t, src, 3)
	defer s.Inject(sqstest.Fault{Action: "DeleteMessageBatch", Entries: func(id string) bool { return id == "1" }}).Remove()
	var ss []drivers.Settlement
	for _, d := range ds {
		ss = append(ss, drivers.Settlement{Receipt: d.Receipt, Action: handler.ActionAck})
	}
	errs := src.Settle(t.Context(), ss)
	require.NoError(t, errs[0])
	require.ErrorIs(t, errs[1], drivers.ErrTransient)
	require.NoError(t, errs[2])
	depth, err := src.(drivers.Inspector).Depth(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1, depth.InFlight)
}

// Ten messages cost a send, a receive and a delete.
func TestRequestsPerMessage(t *testing.T) {
	s := server(t, nil, "")
	src, err := open(t, sqsURL(s.URL(), "orders"), nil)
	require.NoError(t, err)
	var ms []*handler.Message
	for i := range 10 {
		ms = append(ms, &handler.Message{Body: fmt.Append(nil, i)})
	}
	send(t, s.URL(), "orders", ms...)
	ds := receive(t, src, 10)
	var ss []drivers.Settlement
	for _, d := range ds {
		ss = append(ss, drivers.Settlement{Receipt: d.Receipt, Message: d.Message, Action: handler.ActionAck})
	}
	require.Nil(t, src.Settle(t.Context(), ss))
	for _, action := range []string{"SendMessageBatch", "ReceiveMessage", "DeleteMessageBatch"} {
		require.Equal(t, 1, s.Count(action), action)
	}
}
