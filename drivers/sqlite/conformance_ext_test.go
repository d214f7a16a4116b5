package sqlite_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"path/filepath"
	"testing"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/drivertest"
	"github.com/sluice-go/sluice/drivers/sqlite"
)

func TestConformance(t *testing.T) {
	opener := new(sqlite.Opener)
	mux := drivers.NewMux(opener)
	file := "sqlite://" + filepath.Join(t.TempDir(), "queues.db") + "?queue="
	drivertest.Run(t, &drivertest.Harness{
		Server:   "sqlite",
		Parallel: 64, // they wait for leases and compute little
		Unmade: func(context.Context) (drivers.Opener, *url.URL, error) {
			// The file does not exist either.
			u, err := url.Parse("sqlite://" + filepath.Join(t.TempDir(), rand.Text()+".db") + "?queue=orders")
			return opener, u, err
		},
		NewQueue: func(_ context.Context, o drivertest.QueueOptions) (*drivertest.Queue, error) {
			name := "conf-" + rand.Text()
			u := fmt.Sprintf("%s%s&visibility_timeout=%v&ordered=%t&max_attempts=%d", file, name, o.Lease, o.Ordered, o.MaxAttempts)
			letters := file + name + "-dlq"
			if !o.DeadLetter {
				u, letters = u+"&dead_letter="+sqlite.NoDeadLetter, ""
			}
			if o.Dedupe {
				u += "&dedupe_window=5m"
			}
			return drivertest.ByURL(mux, u, u, letters), nil
		},
	})
}
