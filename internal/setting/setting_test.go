package setting_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/setting"
)

type config struct {
	Workers  int
	Ratio    float64
	Timeout  time.Duration
	Deadline time.Duration
	Hooks    []func(context.Context)
}

func complete(c *config) (config, error) {
	d := setting.Copy(c)
	return d, errors.Join(
		setting.Default("Workers", &d.Workers, 16),
		setting.Range("Ratio", &d.Ratio, 0, 1, 0.5),
		setting.Range("Timeout", &d.Timeout, 0, time.Minute, time.Second),
		setting.NotNegative("Deadline", d.Deadline),
		setting.NotNil("Hooks", d.Hooks),
		setting.Refuse(d.Workers > 1 && d.Hooks != nil, "Hooks and Workers exclude each other"),
	)
}

// A configuration's defaults and faults are a table; all faults are named.
func Example() {
	_, err := complete(&config{Workers: -1, Ratio: 2, Timeout: time.Hour, Deadline: -time.Second, Hooks: []func(context.Context){nil}})
	fmt.Println(err)
	// Output:
	// Workers is -1: it must not be negative
	// Ratio is 2: it must be between 0 and 1
	// Timeout is 1h0m0s: it must be between 0s and 1m0s
	// Deadline is -1s: it must not be negative
	// Hooks[0] is nil
}

func TestZeroFieldsGetTheirDefaults(t *testing.T) {
	t.Parallel()
	for _, c := range []*config{nil, {}} {
		d, err := complete(c)
		require.NoError(t, err)
		require.Equal(t, config{Workers: 16, Ratio: 0.5, Timeout: time.Second}, d)
	}
	given := config{Workers: 1, Ratio: 1, Timeout: time.Minute, Hooks: []func(context.Context){func(context.Context) {}}}
	d, err := complete(&given)
	require.NoError(t, err)
	require.Equal(t, given.Workers, d.Workers)
	require.Equal(t, time.Minute, d.Timeout)
	require.NotSame(t, &given, &d)
}

func TestNotANumberIsRefused(t *testing.T) {
	t.Parallel()
	nan := math.NaN()
	require.Error(t, setting.Range("Ratio", &nan, 0, 1, 0.5))
	require.Error(t, setting.Default("Ratio", &nan, 0.5))
	require.Error(t, setting.Positive("Ratio", nan))
}

func TestPositiveHasNoDefault(t *testing.T) {
	t.Parallel()
	require.EqualError(t, setting.Positive("the limit", 0), "the limit is 0: it must be positive")
	require.EqualError(t, setting.Positive("the time", -time.Second), "the time is -1s: it must be positive")
	require.NoError(t, setting.Positive("the limit", 1))
}
