package service_test

import (
	"context"
	"errors"
	"io"
	"regexp"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware/idempotency"
	"github.com/sluice-go/sluice/middleware/idempotency/opened"
	"github.com/sluice-go/sluice/service"
	"github.com/sluice-go/sluice/service/telemetry"
)

// A downStore does not answer while it is down.
type downStore struct {
	idempotency.Store
	down atomic.Bool
}

func (s *downStore) Claim(ctx context.Context, key, token string, ttl time.Duration) (idempotency.Claim, error) {
	if s.down.Load() {
		return idempotency.Claim{}, errors.New("connection refused")
	}
	return s.Store.Claim(ctx, key, token, ttl)
}

// A store is known before anything has happened to it, by the name that its events have:
// otherwise there would be two series, one of which says that it is up.
func TestAStoreHasOneSeries(t *testing.T) {
	t.Parallel()
	store := &downStore{Store: idempotency.NewMemory()}
	r := newRig(t, `
queues:
  orders:
    url: mem://orders
    consumer: {idempotency: {store: "redis://cache:6379"}}
`, func(o *service.Options) {
		o.Admin, o.Telemetry = "0", telemetry.Setup
		o.OpenStore = func(_ context.Context, url string) (*opened.Store, error) {
			return &opened.Store{Store: store, Closer: io.NopCloser(nil), Name: url}, nil
		}
	})
	r.Handle("orders", handler.HandlerFunc(func(context.Context, *handler.Message) error { return nil }))
	stop := r.run(t)
	url := r.admin(t)
	down := regexp.MustCompile(`(?m)^sluice_stores_down\{.*\} (\d)$`)
	series := func() (values []string) {
		_, metrics := get(t, url+"/metrics")
		for _, m := range down.FindAllStringSubmatch(metrics, -1) {
			values = append(values, m[1])
		}
		return values
	}
	require.Equal(t, []string{"0"}, series())
	store.down.Store(true)
	r.send(t, "orders", body("a"))
	require.Eventually(t, func() bool { v := series(); return len(v) > 0 && v[len(v)-1] == "1" || len(v) > 1 }, patience, 5*time.Millisecond)
	require.Equal(t, []string{"1"}, series())
	store.down.Store(false)
	require.NoError(t, stop())
}
