package service_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/mem"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/handler/route"
	"github.com/sluice-go/sluice/job"
	"github.com/sluice-go/sluice/service"
)

type (
	sendEmail struct{ To string }
	reindex   struct{ Shop int }
	sendFax   struct{}
)

func (sendEmail) Kind() string { return "send-email" }
func (reindex) Kind() string   { return "reindex" }
func (sendFax) Kind() string   { return "send-fax" }

// Jobs go to the queues that the configuration gives their kinds, and by its table if they
// are unique, debounced or part of a transaction.
func TestJobsGoByTheConfiguration(t *testing.T) {
	t.Parallel()
	delays := newStore(t)
	conf := loadFile(t, `
delay_store: `+delays.url+`
jobs: {send-email: emails, reindex: jobs}
queues:
  emails: {url: "mem://emails"}
  jobs: {url: "mem://jobs"}
`)
	mux := drivers.NewMux(new(mem.Opener))
	client, err := service.OpenJobs(t.Context(), conf, &service.JobsOptions{Mux: mux, Logger: quiet(),
		Prepare: []func(context.Context, *handler.Message) error{func(_ context.Context, m *handler.Message) error {
			m.SetAttribute("by", "test")
			return nil
		}}})
	require.NoError(t, err)
	defer func() { require.NoError(t, client.Close()) }()

	// Before anything relays, so that the rows are pending.
	first, err := client.Enqueue(t.Context(), sendEmail{To: "a"}, &job.Options{Unique: "a"})
	require.NoError(t, err)
	second, err := client.Enqueue(t.Context(), sendEmail{To: "a, again"}, &job.Options{Unique: "a"})
	require.NoError(t, err)
	require.Equal(t, first, second, "the ID of the pending one")
	for shop := range 3 {
		_, err = client.Enqueue(t.Context(), reindex{Shop: shop}, &job.Options{Debounce: "shop", Delay: 100 * time.Millisecond})
		require.NoError(t, err)
	}
	for _, commit := range []bool{true, false} {
		tx, err := delays.db.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		_, err = client.Enqueue(t.Context(), sendEmail{To: "tx"}, &job.Options{Tx: tx, Expires: time.Now().Add(time.Hour)})
		require.NoError(t, err)
		if commit {
			require.NoError(t, tx.Commit())
		} else {
			require.NoError(t, tx.Rollback())
		}
	}
	_, err = client.Enqueue(t.Context(), sendEmail{To: "plain"}, nil)
	require.NoError(t, err)
	_, err = client.Enqueue(t.Context(), sendFax{}, nil)
	require.ErrorContains(t, err, `"send-fax": no queue is known for this kind`)

	s, err := service.New(conf, &service.Options{Mux: mux, Admin: service.NoAdmin, Logger: quiet(), Signals: make(chan os.Signal)})
	require.NoError(t, err)
	got := make(chan any, 10)
	for _, queue := range []string{"emails", "jobs"} {
		r, err := route.New(nil)
		require.NoError(t, err)
		require.NoError(t, job.Add(r, func(ctx context.Context, j sendEmail) error {
			require.Equal(t, "test", job.Message(ctx).Attribute("by"))
			got <- j
			return nil
		}))
		require.NoError(t, job.Add(r, func(_ context.Context, j reindex) error {
			got <- j
			return nil
		}))
		s.Handle(queue, r)
	}
	start(t, s)
	var all []any
	for range 4 {
		all = append(all, next(t, got))
	}
	require.ElementsMatch(t, []any{sendEmail{"a"}, reindex{2}, sendEmail{"tx"}, sendEmail{"plain"}}, all)
	require.Eventually(t, func() bool {
		rows, err := delays.table.Pending(t.Context(), 0)
		return err == nil && len(rows) == 0
	}, patience, 5*time.Millisecond)
	require.Empty(t, got)
}

func TestJobsWithoutAStoreOrWithADefaultQueue(t *testing.T) {
	t.Parallel()
	conf := loadFile(t, "jobs: {send-email: emails}\nqueues:\n  emails: {url: \"mem://emails\"}\n  jobs: {url: \"mem://jobs\"}\n")
	mux := drivers.NewMux(new(mem.Opener))
	client, err := service.OpenJobs(t.Context(), conf, &service.JobsOptions{Mux: mux, Queue: "jobs"})
	require.NoError(t, err)
	_, err = client.Enqueue(t.Context(), sendFax{}, nil)
	require.NoError(t, err)
	_, err = client.Enqueue(t.Context(), sendEmail{}, &job.Options{Unique: "k"})
	require.ErrorContains(t, err, "set delay_store in the configuration")
	require.NoError(t, client.Close())

	for want, o := range map[string]*service.JobsOptions{
		"Mux is nil": nil, `unknown queue "jbs": did you mean "jobs"?`: {Mux: mux, Queue: "jbs"}, "Prepare[0] is nil": {Mux: mux, Prepare: make([]func(context.Context, *handler.Message) error, 1)},
	} {
		_, err = service.OpenJobs(t.Context(), conf, o)
		require.ErrorContains(t, err, want)
		require.Equal(t, service.StatusUsage, service.ExitStatus(err))
	}
	_, err = service.OpenJobs(t.Context(), loadFile(t, ""), &service.JobsOptions{Mux: mux})
	require.ErrorContains(t, err, "no kind has one")
}
