package letters_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/admin/letters"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/deadletter"
	"github.com/sluice-go/sluice/drivers/drivertest"
	"github.com/sluice-go/sluice/drivers/mem"
	"github.com/sluice-go/sluice/handler"
)

// A leased source shows its letters only by delivering them, as SQS does, and fails on
// demand.
type leased struct {
	drivers.Source
	flaky drivertest.Flaky
}

func (l *leased) OpenDeadLetters(ctx context.Context) (drivers.Source, error) {
	s, err := l.Source.(deadletter.Opener).OpenDeadLetters(ctx)
	return l.flaky.Source(s), err
}

func (l *leased) OpenDeadLetterSink(ctx context.Context) (drivers.Sink, error) {
	s, err := l.Source.(deadletter.Writer).OpenDeadLetterSink(ctx)
	return l.flaky.Sink(s), err
}

func (l *leased) OpenRedrive(ctx context.Context) (drivers.Sink, error) {
	return l.Source.(deadletter.Opener).OpenRedrive(ctx)
}

// queue returns a queue in memory with n letters whose bodies are their numbers.
func queue(t *testing.T, n int) *leased {
	t.Helper()
	source, err := drivers.NewMux(&mem.Opener{}).OpenSource(t.Context(), "mem://orders", nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, source.Close()) })
	l := &leased{Source: source}
	sink, err := l.OpenDeadLetterSink(t.Context())
	require.NoError(t, err)
	for i := range n {
		m := &handler.Message{Body: fmt.Append(nil, i), Attempt: 2, DedupeID: fmt.Sprintf("d%d", i), Attributes: map[string]string{"even": fmt.Sprint(i%2 == 0)}}
		m.Attributes = drivers.FailureAttributes(&drivers.Failure{Reason: fmt.Sprintf("no such order: %d", i)}, m, "orders", 0)
		require.Nil(t, sink.Send(t.Context(), []*handler.Message{m}))
	}
	require.NoError(t, sink.Close())
	return l
}

// bodies returns the bodies of the letters that nobody holds.
func bodies(t *testing.T, l *leased) []string {
	t.Helper()
	dead, err := l.Source.(deadletter.Opener).OpenDeadLetters(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, dead.Close()) }()
	var out []string
	for {
		ds, err := dead.Receive(t.Context(), 10, 0)
		require.NoError(t, err)
		if len(ds) == 0 {
			slices.Sort(out)
			return out
		}
		for _, d := range ds {
			require.Equal(t, 1, d.Message.Attempt, "a look spends no attempt")
			out = append(out, string(d.Message.Body))
			defer dead.Settle(t.Context(), []drivers.Settlement{{Receipt: d.Receipt, Delayed: true, Released: true}})
		}
	}
}

var even = letters.Filter{Attributes: map[string]string{"even": "true"}}

func TestALookLeavesLettersWhereTheyAre(t *testing.T) {
	t.Parallel()
	for name, of := range map[string]func(*leased) drivers.Source{
		"leased": func(l *leased) drivers.Source { return l },
		"read":   func(l *leased) drivers.Source { return l.Source },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := queue(t, 6)
			var seen []string
			got, err := letters.Each(t.Context(), of(l), &letters.Options{Filter: even}, func(l letters.Letter) error {
				seen = append(seen, string(l.Message.Body))
				return nil
			})
			require.NoError(t, err)
			slices.Sort(seen)
			require.Equal(t, []string{"0", "2", "4"}, seen)
			require.Equal(t, letters.Result{Seen: 6, Matched: 3, Done: 3}, got)
			require.Len(t, bodies(t, l), 6)

			stop := errors.New("enough")
			got, err = letters.Each(t.Context(), of(l), nil, func(letters.Letter) error { return stop })
			require.ErrorIs(t, err, stop)
			require.Zero(t, got.Done)
			require.Len(t, bodies(t, l), 6)
			visits := 0
			got, err = letters.Each(t.Context(), of(l), nil, func(letters.Letter) error {
				if visits++; visits == 4 { // such as a pipe that nobody reads any more
					return stop
				}
				return nil
			})
			require.ErrorIs(t, err, stop)
			require.EqualValues(t, 3, got.Done)
			require.Len(t, bodies(t, l), 6, "those that were visited are given back, too")
			got, err = letters.Each(t.Context(), of(l), &letters.Options{Max: 2}, func(letters.Letter) error { return nil })
			require.NoError(t, err)
			require.EqualValues(t, 2, got.Done)
			require.Len(t, bodies(t, l), 6)

			_, err = letters.Each(t.Context(), of(l), &letters.Options{Max: -1}, nil)
			require.ErrorContains(t, err, "Max")
		})
	}
}

// A slow source is interrupted while the provider answers a receive.
type slow struct {
	*leased
	interrupt func()
}

func (s *slow) OpenDeadLetters(ctx context.Context) (drivers.Source, error) {
	dead, err := s.leased.OpenDeadLetters(ctx)
	return &slowLetters{dead, s.interrupt}, err
}

type slowLetters struct {
	drivers.Source
	interrupt func()
}

func (s *slowLetters) Receive(ctx context.Context, most int, wait time.Duration) ([]drivers.Delivery, error) {
	ds, err := s.Source.Receive(context.WithoutCancel(ctx), most, wait) // it has leased them
	s.interrupt()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return ds, err
}

func TestALookThatIsInterruptedGivesBackWhatItWasReceiving(t *testing.T) {
	t.Parallel()
	l := queue(t, 6)
	ctx, cancel := context.WithCancel(t.Context())
	got, err := letters.Each(ctx, &slow{l, cancel}, nil, func(letters.Letter) error { return nil })
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, got.Done)
	require.Len(t, bodies(t, l), 6)
}

func TestDiscardDeletesWhatIsSelected(t *testing.T) {
	t.Parallel()
	l := queue(t, 6)
	got, err := letters.Discard(t.Context(), l, &letters.Options{Filter: even})
	require.NoError(t, err)
	require.Equal(t, letters.Result{Seen: 6, Matched: 3, Done: 3}, got)
	require.Equal(t, []string{"1", "3", "5"}, bodies(t, l))

	l.flaky.FailNext(drivertest.OpSettle, 1, &drivers.Error{Code: drivers.Denied, Op: "settle", Err: errors.New("made up")})
	got, err = letters.Discard(t.Context(), l, nil)
	require.ErrorIs(t, err, drivers.ErrDenied)
	require.ErrorContains(t, err, "could not be deleted")
	require.Zero(t, got.Done)
	require.Equal(t, []string{"1", "3", "5"}, bodies(t, l), "they are given back")
}

// An archive stores before it deletes, and deletes nothing that was not stored.
func TestArchiveStoresFirst(t *testing.T) {
	t.Parallel()
	l := queue(t, 6)
	full := errors.New("no space left")
	_, err := letters.Archive(t.Context(), l, func(context.Context, []byte) error { return full }, nil)
	require.ErrorIs(t, err, full)
	require.Len(t, bodies(t, l), 6)

	var stored bytes.Buffer
	got, err := letters.Archive(t.Context(), l, func(_ context.Context, part []byte) error {
		require.Zero(t, l.flaky.Entries(drivertest.OpSettle)-6, "nothing was deleted before") // 6 were given back
		stored.Write(part)
		return nil
	}, &letters.Options{Filter: even})
	require.NoError(t, err)
	require.EqualValues(t, 3, got.Done)
	require.Equal(t, 3, strings.Count(stored.String(), "\n"))
	require.Equal(t, []string{"1", "3", "5"}, bodies(t, l))

	got, err = letters.Import(t.Context(), l, letters.ReadRecords(&stored), nil)
	require.NoError(t, err)
	require.EqualValues(t, 3, got.Done)
	require.Len(t, bodies(t, l), 6)
}

// A letter comes back from an export as it was.
func TestRecordsKeepTheLetter(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]*handler.Message{
		"text":      {ID: "m1", Body: []byte("plain \u2028 <text>\n"), Group: "g", DedupeID: "d", EnqueuedAt: time.Unix(1700000000, 5), Attributes: map[string]string{"k": ""}},
		"bytes":     {ID: "m1", Body: []byte{0, 0xff}, DedupeID: "d", Attributes: map[string]string{}},
		"empty":     {ID: "m1", Body: []byte{}, DedupeID: "d", Attributes: map[string]string{}},
		"exhausted": {ID: "m1", Body: []byte("x"), DedupeID: "d", Attributes: map[string]string{drivers.AttributeDeadLetterQueue: "orders", drivers.AttributeDeadLetterAttempt: "5"}},
	} {
		l := queue(t, 0)
		_, err := letters.Import(t.Context(), l, func(yield func(*handler.Message, error) bool) { yield(m, nil) }, nil)
		require.NoError(t, err, name)
		var b bytes.Buffer
		_, err = letters.Export(t.Context(), l, &b, nil)
		require.NoError(t, err)
		n := 0
		for got, err := range letters.ReadRecords(strings.NewReader("\n" + b.String() + "\n")) {
			require.NoError(t, err)
			require.Equal(t, []any{m.Body, m.Group, m.DedupeID, m.Attributes}, []any{got.Body, got.Group, got.DedupeID, got.Attributes}, name)
			require.Equal(t, letters.Of(m).Attempts, letters.Of(got).Attempts)
			n++
		}
		require.Equal(t, 1, n)
	}
}

func TestALineThatIsNoRecordEndsTheReading(t *testing.T) {
	t.Parallel()
	good := `{"id":"1","attributes":{},"body":"x"}`
	for bad, want := range map[string]string{
		`{`:                          "line 2: unexpected EOF",
		`{"id":"2","attributes":{}}`: "line 2: it has neither a body nor a body_base64",
		`{"id":"2","body":"x","body_base64":"eA=="}`:      "line 2: it has a body and a body_base64",
		`{"id":"2","body":"x","other":1}`:                 `line 2: json: unknown field "other"`,
		`{"id":"2","body":"x"} {}`:                        "line 2: there is more after the record",
		`{"id":"2","body":"x","enqueued_at":"yesterday"}`: "line 2: enqueued_at:",
	} {
		l := queue(t, 0)
		got, err := letters.Import(t.Context(), l, letters.ReadRecords(strings.NewReader(good+"\n"+bad+"\n"+good)), nil)
		require.ErrorContains(t, err, want, bad)
		require.EqualValues(t, 1, got.Done, "the letters before the fault are sent")
	}
}

func FuzzReadRecords(f *testing.F) {
	f.Add(`{"id":"1","attributes":{"a":"b"},"body":"x"}` + "\n" + `{"body_base64":"eA=="}`)
	f.Fuzz(func(t *testing.T, text string) {
		for m, err := range letters.ReadRecords(strings.NewReader(text)) {
			if err != nil {
				require.Nil(t, m)
				require.Contains(t, err.Error(), "line ")
				continue
			}
			r := letters.NewRecord(letters.Of(m))
			again, err := r.Message()
			require.NoError(t, err)
			require.Equal(t, m.Body, again.Body)
		}
	})
}

// A queue of a bridged provider has no dead letters that could be read.
func TestAQueueWithoutLettersSaysSo(t *testing.T) {
	t.Parallel()
	source, err := drivers.NewMux(&mem.Opener{}).OpenSource(t.Context(), "mem://orders", nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, source.Close()) }()
	bridged := struct{ drivers.Source }{source}
	_, err = letters.Discard(t.Context(), bridged, nil)
	require.ErrorIs(t, err, drivers.ErrUnsupported)
	require.ErrorContains(t, err, "the driver for mem cannot read this queue's dead letters")
	_, err = letters.Import(t.Context(), bridged, nil, nil)
	require.ErrorIs(t, err, drivers.ErrUnsupported)
}
