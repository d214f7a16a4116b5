package mem_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/drivertest"
	"github.com/sluice-go/sluice/drivers/mem"
)

func TestConformance(t *testing.T) {
	opener := new(mem.Opener)
	t.Cleanup(func() { require.NoError(t, opener.Close()) })
	mux := drivers.NewMux(opener)
	drivertest.Run(t, &drivertest.Harness{
		Server:   "mem",
		Parallel: 64, // they wait for leases and compute little
		Unmade: func(context.Context) (drivers.Opener, *url.URL, error) {
			u, err := url.Parse("mem://conf-" + rand.Text())
			return opener, u, err
		},
		NewQueue: func(_ context.Context, o drivertest.QueueOptions) (*drivertest.Queue, error) {
			name := "conf-" + rand.Text()
			u := fmt.Sprintf("mem://%s?visibility_timeout=%v&ordered=%t&max_attempts=%d", name, o.Lease, o.Ordered, o.MaxAttempts)
			letters := "mem://" + name + "-dlq"
			if !o.DeadLetter {
				u, letters = u+"&dead_letter="+mem.NoDeadLetter, ""
			}
			if o.Dedupe {
				u += "&dedupe_window=5m"
			}
			return drivertest.ByURL(mux, u, u, letters), nil
		},
	})
}
