package console

import (
	"context"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/admin"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/provision"
)

// An examiner has queues whose examination is what a test does.
type examiner struct {
	drivers.Opener
	examine func() (*provision.State, error)
}

func (examiner) Schemes() []string { return []string{"fake"} }

func (e examiner) Examine(context.Context, *url.URL) (*provision.State, error) { return e.examine() }

// A viewer who has mended a queue while it was being examined gets an examination that was
// begun after that; one that was begun after the viewer has asked does.
func TestAViewersExaminationBeginsAfterTheQuestion(t *testing.T) {
	t.Parallel()
	var times []time.Time // at which the queue was examined
	e := &examination{fleet: &admin.Fleet{
		Mux: drivers.NewMux(examiner{examine: func() (*provision.State, error) {
			times = append(times, time.Now())
			return &provision.State{Queue: "orders"}, nil
		}}),
		Targets: []admin.Target{{Name: "orders", URL: "fake://orders"}},
	}}
	before := time.Now()
	e.run(t.Context())
	require.Len(t, times, 1)
	e.runFor(t.Context(), times[0])
	require.Len(t, times, 2, "the first was under way when the viewer asked")
	e.runFor(t.Context(), before)
	require.Len(t, times, 2, "one was begun since the viewer asked")
	e.run(t.Context())
	require.Len(t, times, 2, "it was done just now")
}
