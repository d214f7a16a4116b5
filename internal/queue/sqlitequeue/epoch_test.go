package sqlitequeue

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/queue"
)

const second = int64(time.Second)

func TestEpoch(t *testing.T) {
	wall := time.Unix(1_800_000_000, 0)
	e := newEpoch(reading{now: wall, boot: "a", uptime: 100 * second})
	begin := wall.UnixNano()
	for _, c := range []struct {
		name   string
		boot   string
		uptime int64
		wall   time.Duration
		want   int64
	}{
		{"the same moment", "a", 100, 0, 0},
		{"later", "a", 160, time.Minute, 60},
		{"the wall clock was set forward", "a", 160, time.Hour, 60},
		{"and back", "a", 160, -time.Hour, 60},
		{"another process read a little earlier", "a", 99, 0, 0},
		{"a reboot", "b", 5, time.Hour, 3600},
		{"a reboot since which it was up for longer", "b", 500, time.Hour, 3600},
		{"a reboot of a machine with no clock of its own", "b", 5, -1000 * time.Hour, 0},
		{"another machine whose boot has the same name", "a", 1, time.Hour, 3600},
	} {
		r := reading{now: wall.Add(c.wall), boot: c.boot, uptime: c.uptime * second}
		require.Equal(t, begin+c.want*second, e.at(r), c.name)
	}
}

// A lease and a delay that are there before a reboot are there after it, and the
// time of the file goes on by the wall clock's.
func TestReboot(t *testing.T) {
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "queues.db")
	open := func() *Engine {
		e, err := Open(ctx, path, nil)
		require.NoError(t, err)
		return e
	}
	e := open()
	require.NoError(t, e.Create(ctx, "q", queue.Config{}))
	_, err := e.Send(ctx, "q", []queue.Message{{Body: []byte("soon"), Delay: time.Minute}, {Body: []byte("later"), Delay: 24 * time.Hour}})
	require.NoError(t, err)
	reboot := func(down time.Duration) {
		require.NoError(t, e.exclusive(ctx, func(tx *txn) error {
			return tx.exec("UPDATE clock SET boot = 'another', uptime = uptime + 1000000000000, wall = wall - ?", int64(down))
		}))
		require.NoError(t, e.Close())
		e = open()
	}
	for _, c := range []struct {
		down             time.Duration
		visible, delayed int64
	}{
		{0, 0, 2}, {-time.Hour, 0, 2}, {time.Hour, 1, 1}, {12 * time.Hour, 1, 1}, {12 * time.Hour, 2, 0},
	} {
		reboot(c.down)
		s, err := e.Stats(ctx, "q")
		require.NoError(t, err)
		require.Equal(t, [2]int64{c.visible, c.delayed}, [2]int64{s.Visible, s.Delayed}, "down for %v", c.down)
		_, err = e.Send(ctx, "q", nil) // which notes the new boot
		require.NoError(t, err)
	}
	require.NoError(t, e.Close())
}
