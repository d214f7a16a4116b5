package redrive_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/admin/redrive"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/deadletter"
)

// A listing is a queue whose list of tasks, the newest first, is another at each look.
type listing struct {
	drivers.Source
	looks [][]deadletter.Task // the last is repeated
}

func (*listing) Capabilities() drivers.Capabilities { return drivers.Capabilities{NativeRedrive: true} }

func (*listing) StartRedrive(context.Context, int) (deadletter.Task, error) {
	return deadletter.Task{ID: "ours", Status: deadletter.Running, Started: time.Now().Add(-5 * time.Second)}, nil
}

func (l *listing) Redrives(context.Context) ([]deadletter.Task, error) {
	now := l.looks[0]
	if len(l.looks) > 1 {
		l.looks = l.looks[1:]
	}
	return now, nil
}

func (*listing) CancelRedrive(context.Context, string) error { return nil }

// Another task, which somebody has started when ours had ended and which has ended since, is
// not taken for ours.
func TestANewerTaskIsNotTakenForOurs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		at := time.Now()
		got, err := redrive.Run(t.Context(), &listing{looks: [][]deadletter.Task{
			{{ID: "ours", Status: deadletter.Running, Started: at, Moved: 3}},
			{{Status: deadletter.Failed, Started: at.Add(time.Second), Failure: "not ours"}, {Status: deadletter.Completed, Started: at, Moved: 7}},
		}}, nil)
		require.NoError(t, err)
		require.EqualValues(t, 7, got.Moved)
	})
}

// A task that is not listed any more is not waited for for ever.
func TestATaskThatIsNotListedIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		got, err := redrive.Run(t.Context(), &listing{looks: [][]deadletter.Task{
			{{ID: "ours", Status: deadletter.Running, Started: began, Moved: 3}}, nil,
		}}, nil)
		require.ErrorContains(t, err, "does not list the task")
		require.EqualValues(t, 3, got.Moved)
		require.Less(t, time.Since(began), 2*time.Minute)
	})
}
