package queue

import (
	"math"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
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

func TestMomentShows(t *testing.T) {
	now := time.Now()
	m := moment{at: 5 * second, now: now}
	for _, c := range []struct {
		at   int64
		want time.Duration
	}{
		{5 * second, 0}, {65 * second, time.Minute}, {4 * second, -time.Second},
		{math.MaxInt64, 100 * 365 * 24 * time.Hour},
	} {
		got := m.show(c.at)
		require.Equal(t, c.want, got.Sub(now))
		require.NotEqual(t, got.Round(0), got, "it has a monotonic part")
	}
}

func TestTimesSaturate(t *testing.T) {
	require.EqualValues(t, math.MaxInt64, later(1, math.MaxInt64))
	require.EqualValues(t, math.MaxInt64, later(math.MaxInt64, 1))
	require.EqualValues(t, 3, later(1, 2))
	require.EqualValues(t, -1, later(1, -2))
	require.EqualValues(t, math.MinInt64, earlier(-2, math.MaxInt64))
	require.EqualValues(t, -1, earlier(1, 2))
	require.EqualValues(t, math.MaxInt64, nanos(time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)))
	require.EqualValues(t, math.MinInt64, nanos(time.Time{}))
	require.Equal(t, second, nanos(time.Unix(1, 0)))
}

// A lease and a delay that are there before a reboot are there after it, and the
// time of the file goes on by the wall clock's.
func TestReboot(t *testing.T) {
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "queues.db")
	open := func() *SQLite {
		e, err := OpenSQLite(ctx, path, nil)
		require.NoError(t, err)
		return e
	}
	e := open()
	require.NoError(t, e.Create(ctx, "q", Config{}))
	_, err := e.Send(ctx, "q", []Message{{Body: []byte("soon"), Delay: time.Minute}, {Body: []byte("later"), Delay: 24 * time.Hour}})
	require.NoError(t, err)
	reboot := func(down time.Duration) {
		require.NoError(t, e.exclusive(ctx, func(tx *sqlTx) error {
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
