package job_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/handler/route"
	"github.com/sluice-go/sluice/job"
	"github.com/sluice-go/sluice/producer"
	"github.com/sluice-go/sluice/producer/producertest"
)

var noon = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

// Jobs whose kinds are wrong.
type (
	nameless struct{}
	boom     struct{}
	pointed  struct{ N int }
	looped   struct{ Next *looped }
)

func (nameless) Kind() string { return "" }
func (boom) Kind() string     { panic("boom") }
func (*pointed) Kind() string { return "pointed" }
func (*looped) Kind() string  { return "looped" }

// failing is a codec that panics.
type failing struct{}

func (failing) Encode(*handler.Message, any) error { panic("boom") }
func (failing) Decode(*handler.Message, any) error { return errors.New("not a job") }

func newRouter(t *testing.T) *route.Router {
	t.Helper()
	r, err := route.New(nil)
	require.NoError(t, err)
	return r
}

func newClient(t *testing.T, config *job.Config) (*job.Client, *producertest.Sink) {
	t.Helper()
	sink := &producertest.Sink{}
	return clientOf(t, sink, config), sink
}

func clientOf(t *testing.T, sink drivers.Sink, config *job.Config) *job.Client {
	t.Helper()
	p, err := producer.New(sink, &producer.Config{RetryFor: -1})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	c, err := job.NewClient(p, config)
	require.NoError(t, err)
	return c
}

func TestAJobReachesTheFunctionOfItsKind(t *testing.T) {
	t.Parallel()
	client, sink := newClient(t, nil)
	id, err := client.Enqueue(t.Context(), SendEmail{To: "a"}, nil)
	require.NoError(t, err)
	_, err = client.Enqueue(t.Context(), &pointed{N: 7}, nil)
	require.NoError(t, err)
	sent := producertest.RequireSent[SendEmail](t, sink)
	require.Equal(t, id, sent.Message.ID)
	require.JSONEq(t, `{"to":"a"}`, string(sent.Message.Body))
	require.Equal(t, map[string]string{"type": "send-email"}, sent.Message.Attributes)

	r, got := newRouter(t), []any{}
	require.NoError(t, job.Add(r, func(ctx context.Context, j SendEmail) error {
		got = append(got, j, job.Message(ctx))
		return handler.Drop(errors.New("seen"))
	}))
	require.NoError(t, job.Add(r, func(_ context.Context, j *pointed) error { got = append(got, j); return nil }))
	require.EqualError(t, r.Handle(t.Context(), sent.Message), "dropped: seen", "its error is the verdict")
	require.NoError(t, r.Handle(t.Context(), producertest.RequireSent[*pointed](t, sink).Message))
	require.Equal(t, []any{SendEmail{To: "a"}, sent.Message, &pointed{7}}, got)
	require.Nil(t, job.Message(t.Context()))

	bad := &handler.Message{Body: []byte("{"), Attributes: map[string]string{"type": "send-email"}}
	require.Equal(t, handler.ActionDeadLetter, handler.VerdictOf(r.Handle(t.Context(), bad)).Action)
	unknown := &handler.Message{Attributes: map[string]string{"type": "send-fax"}}
	require.True(t, handler.VerdictOf(r.Handle(t.Context(), unknown)).Postponed, "another worker may know it")
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		options *job.Options
		want    handler.Message
		says    string
	}{
		"none":             {nil, handler.Message{}, ""},
		"zero":             {&job.Options{}, handler.Message{}, ""},
		"delay":            {&job.Options{Delay: time.Minute}, handler.Message{Delay: time.Minute}, ""},
		"at":               {&job.Options{At: noon.Add(time.Hour)}, handler.Message{Delay: time.Hour}, ""},
		"at a time before": {&job.Options{At: noon.Add(-time.Hour)}, handler.Message{}, ""},
		"group and ID":     {&job.Options{Group: "g", ID: "d"}, handler.Message{Group: "g", DedupeID: "d"}, ""},
		"expires": {&job.Options{Delay: time.Minute, Expires: noon.Add(time.Hour)}, handler.Message{Delay: time.Minute,
			Attributes: map[string]string{handler.AttributeExpires: "2026-11-29T13:00:00Z"}}, ""},
		"unique and debounced":     {&job.Options{Unique: "u", Debounce: "d"}, handler.Message{}, "Unique and Debounce exclude each other"},
		"a debounced group":        {&job.Options{Group: "g", Debounce: "d"}, handler.Message{}, "Debounce and Group exclude each other"},
		"negative delay":           {&job.Options{Delay: -1}, handler.Message{}, "Delay is -1ns: it must not be negative"},
		"delay and at":             {&job.Options{Delay: 1, At: noon}, handler.Message{}, "Delay and At exclude each other"},
		"expires before it is due": {&job.Options{At: noon.Add(time.Hour), Expires: noon.Add(time.Minute)}, handler.Message{}, "would have expired before"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, sink := newClient(t, &job.Config{Now: func() time.Time { return noon }})
			_, err := client.Enqueue(t.Context(), Resize{Width: 1}, c.options)
			if c.says != "" {
				require.ErrorContains(t, err, `job: enqueue "resize": `)
				require.ErrorContains(t, err, c.says)
				producertest.RequireNothingSent(t, sink)
				return
			}
			require.NoError(t, err)
			m := producertest.RequireSent[Resize](t, sink).Message
			c.want.SetAttribute("type", "resize")
			require.Equal(t, c.want.Attributes, m.Attributes)
			require.Equal(t, c.want.Delay, m.Delay)
			require.Equal(t, c.want.Group, m.Group)
			if c.want.DedupeID != "" {
				require.Equal(t, c.want.DedupeID, m.DedupeID)
			}
		})
	}
}

// A delay that the queue can't give is refused, not dropped.
func TestADelayBeyondTheQueuesLimit(t *testing.T) {
	t.Parallel()
	sink := &producertest.Sink{Limits: &drivers.Capabilities{Queue: "jobs", MaxSend: 10}}
	client := clientOf(t, sink, nil)
	_, err := client.Enqueue(t.Context(), Resize{}, &job.Options{Delay: time.Minute})
	require.ErrorContains(t, err, "this queue cannot delay a message")
	producertest.RequireNothingSent(t, sink)
}

func TestKindsHaveTheirQueues(t *testing.T) {
	t.Parallel()
	slow := &producertest.Sink{}
	p, err := producer.New(slow, nil)
	require.NoError(t, err)
	client, fast := newClient(t, &job.Config{Queues: map[string]job.Sender{"resize": p}})
	for _, j := range []job.Job{Resize{}, SendEmail{}} {
		_, err := client.Enqueue(t.Context(), j, nil)
		require.NoError(t, err)
	}
	producertest.RequireSent[Resize](t, slow)
	producertest.RequireNoneSent[SendEmail](t, slow)
	producertest.RequireSent[SendEmail](t, fast)
	producertest.RequireNoneSent[Resize](t, fast)
}

func TestWhatIsRefused(t *testing.T) {
	t.Parallel()
	r := newRouter(t)
	require.NoError(t, job.Add(r, func(context.Context, Resize) error { return nil }))
	for says, err := range map[string]error{
		"job: the router is nil":                                       job.Add(nil, func(context.Context, Resize) error { return nil }),
		`job: the function for kind "resize" is nil`:                   job.Add[Resize](r, nil),
		`job: route: kind "resize" was added twice`:                    job.Add(r, func(context.Context, Resize) error { return nil }),
		"job: the kind of job_test.nameless is empty":                  job.Add(r, func(context.Context, nameless) error { return nil }),
		"job: job.Job is an interface: a kind needs a type of its own": job.Add(r, func(context.Context, job.Job) error { return nil }),
		`job: route: kind "send-email": Timeout is -1ns: it must not be negative`: job.AddWith(r, func(context.Context, SendEmail) error { return nil },
			&job.AddOptions{Route: route.Options{Timeout: -1}}),
	} {
		require.EqualError(t, err, says)
	}
	require.ErrorContains(t, job.Add(r, func(context.Context, boom) error { return nil }), "the kind of job_test.boom: panic: boom")

	client, sink := newClient(t, nil)
	loop := &looped{}
	loop.Next = loop
	for says, j := range map[string]job.Job{
		"job: the job is nil": nil, "the kind of job_test.nameless is empty": nameless{}, "the kind of job_test.boom: panic": boom{},
		`job: encode "looped": `: loop,
	} {
		_, err := client.Enqueue(t.Context(), j, nil)
		require.ErrorContains(t, err, says)
	}
	sink.Fail(&drivers.Error{Code: drivers.Denied})
	_, err := client.Enqueue(t.Context(), Resize{}, nil)
	require.ErrorIs(t, err, drivers.ErrDenied)
	producertest.RequireNothingSent(t, sink)

	_, err = job.NewClient(nil, &job.Config{Queues: map[string]job.Sender{"": nil}})
	require.ErrorContains(t, err, `Queues[""]`)
	_, err = job.NewClient(nil, nil)
	require.ErrorContains(t, err, "the queue is nil, and no kind has one")
	only, err := job.NewClient(nil, &job.Config{Queues: map[string]job.Sender{"resize": nothing{}}})
	require.NoError(t, err)
	_, err = only.Enqueue(t.Context(), SendEmail{}, nil)
	require.ErrorContains(t, err, `job: enqueue "send-email": no queue is known for this kind`)
	for _, o := range []*job.Options{{Unique: "k"}, {Debounce: "k"}, {Tx: noTx{}}} {
		_, err = only.Enqueue(t.Context(), Resize{}, o)
		require.ErrorContains(t, err, "need a table: set delay_store")
	}
	_, err = job.NewClient(nil, &job.Config{Queues: map[string]job.Sender{"": nil}})
	require.ErrorContains(t, err, `Queues[""]`)
	broken, _ := newClient(t, &job.Config{Codec: failing{}})
	_, err = broken.Enqueue(t.Context(), Resize{}, nil)
	require.ErrorContains(t, err, `job: encode "resize": `)
}

// nothing is a sender without a table.
type nothing struct{}

func (nothing) Send(context.Context, ...*handler.Message) error { return nil }

// noTx is a transaction that nothing is written in.
type noTx struct{}

func (noTx) ExecContext(context.Context, string, ...any) (sql.Result, error) {
	return nil, errors.New("not here")
}

func TestACodecOfItsOwn(t *testing.T) {
	t.Parallel()
	r := newRouter(t)
	require.NoError(t, job.AddWith(r, func(context.Context, Resize) error { return nil }, &job.AddOptions{Codec: failing{}}))
	err := r.Handle(t.Context(), &handler.Message{Attributes: map[string]string{"type": "resize"}})
	require.ErrorContains(t, err, "not a job")
	require.Equal(t, handler.ActionDeadLetter, handler.VerdictOf(err).Action)
}
