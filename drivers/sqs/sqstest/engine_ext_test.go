package sqstest_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/queue"
)

func newEngine(t *testing.T) queue.Engine {
	t.Helper()
	e := queue.NewMemory(nil)
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	return e
}

// A queue of the embedded drivers, with its messages, is an SQS queue too.
func TestQueuesOfAnotherFace(t *testing.T) {
	engine := newEngine(t)
	require.NoError(t, engine.Create(bg, "dead", queue.Config{}))
	require.NoError(t, engine.Create(bg, "orders", queue.Config{Visibility: time.Minute, DeadLetter: "dead", MaxReceives: 4, Extra: map[string]string{"theirs": "kept"}}))
	_, err := engine.Send(bg, "orders", []queue.Message{{Body: []byte("x"), Attributes: map[string]string{"b": "2", "a": "1"}}})
	require.NoError(t, err)

	e := sharing(t, engine)
	url := e.QueueURL("orders")
	a := e.attributes(&url)
	require.Equal(t, "60", a["VisibilityTimeout"])
	require.Equal(t, e.redrive("dead", 4), a["RedrivePolicy"])
	m := e.one(&url)
	require.Equal(t, "1", *m.MessageAttributes["a"].StringValue)
	require.Equal(t, "String", *m.MessageAttributes["b"].DataType)
	e.set(&url, "DelaySeconds", "7")
	c, _, err := engine.Config(bg, "orders")
	require.NoError(t, err)
	require.Equal(t, 7*time.Second, c.Delay)
	require.Equal(t, time.Minute, c.Visibility)
	require.Equal(t, "dead", c.DeadLetter)
	require.Equal(t, "kept", c.Extra["theirs"])

	// Changes by the other face are seen immediately.
	require.NoError(t, engine.Remove(bg, "orders"))
	_, err = e.SendMessage(bg, sendInput(url))
	requireCode(t, "AWS.SimpleQueueService.NonExistentQueue", err)
}

func TestEngineThatClosed(t *testing.T) {
	engine := queue.NewMemory(nil)
	e := sharing(t, engine)
	url := e.queue("orders")
	require.NoError(t, engine.Close())
	_, err := e.SendMessage(bg, sendInput(*url))
	requireCode(t, "ServiceUnavailable", err)
}

func TestManyQueuesOfOneServer(t *testing.T) {
	e := inProcess(t, nil)
	for i := range 3 {
		e.send(e.queue("q"+strconv.Itoa(i)), strconv.Itoa(i))
	}
	for i := range 3 {
		url := e.QueueURL("q" + strconv.Itoa(i))
		require.Equal(t, []string{strconv.Itoa(i)}, bodies(e.receive(&url)))
	}
}
