package consumer

import (
	"math"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

// The messages of a receive of ten, as SQS has, and the records of their deliveries take
// slabs of 1,536 and 2,048 bytes. A field more in either takes the next size class.
func TestAReceiveTakesFewBytes(t *testing.T) {
	s := &source{origin: &handler.Origin{Queue: "orders"}}
	now := time.Now()
	received := make([]drivers.Delivery, 10)
	ds := make([]*delivery, 0, len(received))
	least := uint64(math.MaxUint64) // other goroutines allocate too
	for range 100 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		ms := make([]handler.Message, len(received))
		for i := range received {
			received[i] = drivers.Delivery{Message: &ms[i], Lease: time.Minute, Deadline: now.Add(time.Minute)}
		}
		ds = newDeliveries(ds[:0], s, received, now, nil)
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	require.Equal(t, *s.origin, ds[9].msg.Origin())
	require.LessOrEqual(t, least, uint64(1536+2048))
}
