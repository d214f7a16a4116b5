package redrive_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/admin/letters"
	"github.com/sluice-go/sluice/admin/redrive"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/deadletter"
	"github.com/sluice-go/sluice/drivers/drivertest"
	"github.com/sluice-go/sluice/drivers/provision"
	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
	"github.com/sluice-go/sluice/handler"
)

// stepping names what the process that crashing makes of this test binary does, and
// stepFile the file that an archive is kept in.
const (
	stepping = "SLUICE_TEST_STEP"
	stepFile = "SLUICE_TEST_ARCHIVE"
)

// A step is a place in an operation at which the process is killed.
type step struct {
	run func(ctx context.Context, source drivers.Source, archive string) error
	// action is the request at which it is killed, to the queue or, if dead is true, to
	// its dead-letter queue, after skip such requests.
	action string
	dead   bool
	skip   int
	// archived is true if the letters are in an archive from the start.
	archived bool
	// doubles is the most letters that are in two places afterwards.
	doubles int
}

func steps() map[string]step {
	move := func(ctx context.Context, source drivers.Source, _ string) error {
		_, err := redrive.Run(ctx, source, &redrive.Options{MaxRedrives: 3})
		return err
	}
	canary := func(ctx context.Context, source drivers.Source, _ string) error {
		_, _, err := redrive.Canary(ctx, source, &redrive.Options{MaxRedrives: 3}, &redrive.CanaryOptions{Letters: 3})
		return err
	}
	edit := func(ctx context.Context, source drivers.Source, _ string) error {
		var id string
		_, err := letters.Each(ctx, source, &letters.Options{Max: 1}, func(l letters.Letter) error {
			id = l.Message.ID
			return nil
		})
		if err != nil {
			return err
		}
		_, err = redrive.Edit(ctx, source, id, nil, func(_ context.Context, m *handler.Message) (*handler.Message, error) {
			m.SetAttribute("changed", "true")
			return m, nil
		})
		return err
	}
	archive := func(ctx context.Context, source drivers.Source, file string) error {
		_, err := letters.Archive(ctx, source, func(_ context.Context, part []byte) error { return os.WriteFile(file, part, 0o600) }, nil)
		return err
	}
	from := func(send func(context.Context, drivers.Source, *os.File) error) func(context.Context, drivers.Source, string) error {
		return func(ctx context.Context, source drivers.Source, file string) error {
			f, err := os.Open(file)
			if err != nil {
				return err
			}
			defer f.Close()
			return send(ctx, source, f)
		}
	}
	return map[string]step{
		"redrive, before sending":  {run: move, action: "SendMessageBatch", skip: 1},
		"redrive, before deleting": {run: move, action: "DeleteMessageBatch", dead: true, skip: 1, doubles: 10},
		"canary, before deleting":  {run: canary, action: "DeleteMessageBatch", dead: true, doubles: 3},
		"edit, before sending":     {run: edit, action: "SendMessageBatch"},
		"edit, before deleting":    {run: edit, action: "DeleteMessageBatch", dead: true, doubles: 1},
		"archive, before storing":  {run: archive, action: "ChangeMessageVisibilityBatch", dead: true, skip: 2},
		"archive, before deleting": {run: archive, action: "DeleteMessageBatch", dead: true, doubles: stepLetters},
		"from an archive": {archived: true, action: "SendMessageBatch", skip: 2, doubles: stepLetters,
			run: from(func(ctx context.Context, source drivers.Source, f *os.File) error {
				_, err := redrive.From(ctx, source, letters.ReadRecords(f), nil)
				return err
			})},
		"import": {archived: true, action: "SendMessageBatch", dead: true, skip: 2, doubles: stepLetters,
			run: from(func(ctx context.Context, source drivers.Source, f *os.File) error {
				_, err := letters.Import(ctx, source, letters.ReadRecords(f), nil)
				return err
			})},
	}
}

func stepUntilKilled() {
	ctx := context.Background()
	source, err := mux().OpenSource(ctx, os.Getenv(crashing), nil)
	if err == nil {
		err = steps()[os.Getenv(stepping)].run(ctx, source, os.Getenv(stepFile))
	}
	fmt.Fprintln(os.Stderr, "it ended before it was killed:", err)
	os.Exit(1)
}

const stepLetters = 40

// Each operation is killed at each of its steps. Every letter is then in one of the queues
// or in the archive, and those that are in two are no more than the step may double.
func TestACrashAtAnyStepLosesNone(t *testing.T) {
	t.Parallel()
	for name, step := range steps() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clock := new(skewed)
			s := serve(t, &sqstest.Config{Clock: clock})
			r := onSQS(t, s, provision.Spec{})
			file := filepath.Join(t.TempDir(), "archive.jsonl")
			fill(t, s, r.name+"-dlq", stepLetters)
			if step.archived {
				f, err := os.Create(file)
				require.NoError(t, err)
				_, err = letters.Export(t.Context(), r.source, f, nil)
				require.NoError(t, errors.Join(err, f.Close()))
				_, err = letters.Discard(t.Context(), r.source, nil)
				require.NoError(t, err)
				require.Empty(t, r.left(t))
			}

			queue := r.name
			if step.dead {
				queue += "-dlq"
			}
			// The request waits for the end of the process: one that is repeated could be carried
			// out after it.
			crash := s.Inject(sqstest.Fault{Action: step.action, Queue: queue, Skip: step.skip, Delay: time.Hour, Refuse: true})
			exe, err := os.Executable()
			require.NoError(t, err)
			child := exec.CommandContext(t.Context(), exe)
			child.Env = append(os.Environ(), crashing+"=awssqs:///"+r.name+"?endpoint="+s.URL(), stepping+"="+name, stepFile+"="+file)
			child.Stderr = os.Stderr
			require.NoError(t, child.Start())
			require.Eventually(t, func() bool { return crash.Hits() > 0 }, time.Minute, time.Millisecond)
			require.NoError(t, child.Process.Kill())
			require.Error(t, child.Wait())
			s.RemoveFaults()
			clock.by.Add(int64(11 * time.Minute)) // its leases end

			// Requests of the killed process may still be carried out.
			places := make(map[int]int)
			found := [3]map[int]bool{{}, {}, {}} // in the queue, the dead-letter queue, the archive
			for end := time.Now().Add(30 * time.Second); len(places) < stepLetters; {
				require.True(t, time.Now().Before(end), "letters are lost: of %d there are %v", stepLetters, places)
				for place, ms := range [][]*handler.Message{drain(t, r.source), lettersOf(t, r), archived(t, file)} {
					for n := range count(t, ms) {
						if !found[place][n] {
							found[place][n] = true
							places[n]++
						}
					}
				}
			}
			doubles := -stepLetters
			for _, n := range places {
				doubles += n
			}
			require.LessOrEqual(t, doubles, step.doubles)
			if step.doubles > 0 {
				require.Positive(t, doubles, "the crash was between sending and deleting")
			}
		})
	}
}

// lettersOf returns the letters, which must all be visible.
func lettersOf(t *testing.T, r *rig) []*handler.Message {
	t.Helper()
	dead, err := r.source.(deadletter.Opener).OpenDeadLetters(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, dead.Close()) }()
	return drain(t, dead)
}

// archived returns the letters of an archive, none if there is no archive.
func archived(t *testing.T, file string) []*handler.Message {
	t.Helper()
	b, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	require.NoError(t, err)
	var out []*handler.Message
	for m, err := range letters.ReadRecords(strings.NewReader(string(b))) {
		require.NoError(t, err)
		out = append(out, m)
	}
	return out
}

// An edit whose letter was lost while a person thought about it sends nothing: another may
// have redriven it.
func TestAnEditWithoutItsLetterSendsNothing(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, r *rig) {
		r.letters(t, 2)
		f := &flaky{Source: r.source}
		var id string
		_, err := letters.Each(t.Context(), r.source, &letters.Options{Max: 1}, func(l letters.Letter) error {
			id = l.Message.ID
			return nil
		})
		require.NoError(t, err)
		sent, err := redrive.Edit(t.Context(), f, id, nil, func(_ context.Context, m *handler.Message) (*handler.Message, error) {
			f.letters.FailNext(drivertest.OpExtend, 1, is(drivers.LeaseLost))
			return m, nil
		})
		require.ErrorIs(t, err, drivers.ErrLeaseLost)
		require.ErrorContains(t, err, "nothing was sent")
		require.Nil(t, sent)
		require.Empty(t, drain(t, r.source))

		sent, err = redrive.Edit(t.Context(), f, id, nil, func(_ context.Context, m *handler.Message) (*handler.Message, error) {
			m.Body = []byte("changed")
			return m, nil
		})
		require.NoError(t, err)
		require.NotEqual(t, id, sent.ID)
		require.Equal(t, []string{"changed"}, bodies(drain(t, r.source)))
		require.Len(t, r.left(t), 1)

		none, err := redrive.Edit(t.Context(), f, "nosuch", nil, nil)
		require.ErrorIs(t, err, drivers.ErrNotFound)
		require.Nil(t, none)
	})
}

// Letters that were tried first and are acked bring the others; those that return stop it.
func TestACanaryDecides(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, r *rig) {
		r.letters(t, 12)
		// work settles what is in the queue, until the test ends it.
		work := func(action handler.Action) (stop func() int) {
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan int)
			go func() {
				n := 0
				for ctx.Err() == nil {
					ds, err := r.source.Receive(ctx, min(10, r.source.Capabilities().MaxReceive), time.Second)
					if err != nil {
						break
					}
					for _, d := range ds {
						r.source.Settle(t.Context(), []drivers.Settlement{{Receipt: d.Receipt, Message: d.Message, Action: action, Failure: &drivers.Failure{Reason: "still broken"}}})
						n++
					}
				}
				done <- n
			}()
			return func() int {
				cancel()
				return <-done
			}
		}
		stop := work(handler.ActionDeadLetter)
		first, all, err := redrive.Canary(t.Context(), r.source, nil, &redrive.CanaryOptions{Letters: 3, Quiet: time.Second})
		require.ErrorIs(t, err, redrive.ErrReturned)
		require.EqualValues(t, 3, first.Sent.Moved)
		require.EqualValues(t, 3, all.Moved)
		require.NotEmpty(t, first.Returned)
		require.Equal(t, "still broken", first.Returned[0].Reason)
		require.False(t, first.Acked)
		require.Equal(t, 3, stop())

		stop = work(handler.ActionAck)
		first, all, err = redrive.Canary(t.Context(), r.source, &redrive.Options{Max: 8}, &redrive.CanaryOptions{Letters: 3, Quiet: time.Second})
		require.NoError(t, err)
		require.True(t, first.Acked)
		require.EqualValues(t, 3, first.Sent.Moved)
		require.EqualValues(t, 8, all.Moved)
		require.EqualValues(t, 8, all.Matched, "with those that were sent first")
		require.Len(t, r.left(t), 4)
		require.LessOrEqual(t, stop(), 8)
	})
}

// The letter that was sent back first is a dead letter again, and another command holds it: a
// search does not see it. The others stay.
func TestACanaryThatAnotherHoldsIsNotAcked(t *testing.T) {
	t.Parallel()
	r := onSQS(t, serve(t, nil), provision.Spec{})
	r.letters(t, 3)
	dead, err := r.source.(deadletter.Opener).OpenDeadLetters(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, dead.Close()) }()
	o := &redrive.CanaryOptions{Letters: 1, Quiet: time.Second, Wait: 4 * time.Second, Tried: func(redrive.Result) {
		d := receive(t, r.source, 1)[0]
		require.Nil(t, r.source.Settle(t.Context(), []drivers.Settlement{{Receipt: d.Receipt, Message: d.Message, Action: handler.ActionDeadLetter}}))
		for _, letter := range receive(t, dead, 3) {
			if letters.Redrives(letter.Message) > 0 {
				require.Nil(t, dead.Extend(t.Context(), []drivers.Extension{{Receipt: letter.Receipt, By: time.Hour}}))
				continue
			}
			require.Nil(t, dead.Settle(t.Context(), []drivers.Settlement{{Receipt: letter.Receipt, Action: handler.ActionRetry, Delayed: true}}))
		}
	}}
	first, done, err := redrive.Canary(t.Context(), r.source, nil, o)
	require.ErrorIs(t, err, redrive.ErrUndecided)
	require.False(t, first.Acked)
	require.EqualValues(t, 1, done.Moved)
	require.Len(t, r.left(t), 2)
}

func TestCanaryOptionsAreChecked(t *testing.T) {
	t.Parallel()
	r := onSQS(t, serve(t, nil), provision.Spec{})
	for want, o := range map[string]redrive.CanaryOptions{"Letters": {}, "Wait": {Letters: 1, Wait: -1}, "Quiet": {Letters: 1, Quiet: -1}} {
		_, _, err := redrive.Canary(t.Context(), r.source, nil, &o)
		require.ErrorContains(t, err, want)
	}
	for want, o := range map[string]redrive.Options{"Detach": {Detach: true}, "DryRun": {DryRun: true}} {
		_, _, err := redrive.Canary(t.Context(), r.source, &o, &redrive.CanaryOptions{Letters: 1})
		require.ErrorContains(t, err, want)
	}
}

// A redrive from an archive keeps what a redrive keeps, and sends in the rate and the number
// that are asked for.
func TestFromAnArchive(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, r *rig) {
		r.letters(t, 12)
		var b strings.Builder
		_, err := letters.Export(t.Context(), r.source, &b, nil)
		require.NoError(t, err)
		_, err = letters.Discard(t.Context(), r.source, nil)
		require.NoError(t, err)
		from := func(o *redrive.Options) redrive.Result {
			got, err := redrive.From(t.Context(), r.source, letters.ReadRecords(strings.NewReader(b.String())), o)
			require.NoError(t, err)
			require.Equal(t, redrive.Archived, got.Mode)
			return got
		}
		third := letters.Filter{Attributes: map[string]string{"third": "true"}}
		dry := from(&redrive.Options{Filter: third, DryRun: true, Max: 3})
		require.Equal(t, []int64{3, 4, 12}, []int64{dry.Moved, dry.Matched, dry.Seen})
		require.Empty(t, drain(t, r.source))
		var found []string
		got := from(&redrive.Options{Filter: third, Max: 3, Rate: 100, Found: func(m *handler.Message) { found = append(found, string(m.Body)) }})
		require.EqualValues(t, 3, got.Moved)
		back := drain(t, r.source)
		require.ElementsMatch(t, found, bodies(back))
		for _, m := range back {
			require.Equal(t, "d-"+string(m.Body), m.DedupeID)
			require.Equal(t, "1", m.Attributes[deadletter.AttributeRedriveCount])
			require.Equal(t, "poison", history(t, m)[0]["reason"])
			require.NotContains(t, m.Attributes, drivers.AttributeDeadLetterReason)
		}
		_, err = redrive.From(t.Context(), r.source, letters.ReadRecords(strings.NewReader(b.String()+"{\n")), nil)
		require.ErrorContains(t, err, "line 13")
		require.Len(t, drain(t, r.source), 12, "the letters before the fault are sent")
		_, err = redrive.From(t.Context(), r.source, nil, &redrive.Options{Detach: true})
		require.ErrorIs(t, err, drivers.ErrUnsupported)
	})
}
