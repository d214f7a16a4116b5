package backoff

import (
	"errors"
	"fmt"
	"math"
	"time"

	cenkalti "github.com/cenkalti/backoff/v4"

	"github.com/sluice-go/sluice/internal/setting"
)

// tableSize is how many delays of an unknown policy are taken.
const tableSize = 100

// policy gives the delay after an attempt: exponential, unless there is a table.
// It never changes.
type policy struct {
	min, max   time.Duration
	multiplier float64

	table []time.Duration
	stops bool // whether the end of the table is the end of the attempts
}

func policyOf(c *Config) (policy, error) {
	switch p := c.Policy.(type) {
	case nil:
		return exponential("Min", "Max", c.Min, c.Max, c.Multiplier)
	case *cenkalti.ExponentialBackOff:
		if p == nil {
			return policy{}, errors.New("Policy is a nil *backoff.ExponentialBackOff")
		}
		if p.MaxElapsedTime != 0 && p.MaxElapsedTime != cenkalti.DefaultMaxElapsedTime {
			return policy{}, fmt.Errorf("Policy.MaxElapsedTime is %v: it counts from when the policy was made, not from a message's first attempt; set it to 0 and use MaxAttempts", p.MaxElapsedTime)
		}
		return exponential("Policy.InitialInterval", "Policy.MaxInterval", p.InitialInterval, p.MaxInterval, p.Multiplier)
	default:
		return tabulate(p)
	}
}

func exponential(minName, maxName string, lo, hi time.Duration, multiplier float64) (policy, error) {
	return policy{min: lo, max: hi, multiplier: multiplier}, errors.Join(
		setting.Positive(minName, lo),
		setting.Refuse(hi < lo, "%s is %v: it must not be below %s, %v", maxName, hi, minName, lo),
		setting.Refuse(!(multiplier >= 1) || math.IsInf(multiplier, 0), "the multiplier is %v: it must be at least 1", multiplier),
	)
}

// tabulate evaluates a policy once, because it returns delays only one after
// the other, with state that messages must not share.
func tabulate(p cenkalti.BackOff) (policy, error) {
	t := policy{table: make([]time.Duration, 0, tableSize)}
	p.Reset()
	for len(t.table) < tableSize {
		d := p.NextBackOff()
		if d == cenkalti.Stop {
			t.stops = true
			break
		}
		if d < 0 {
			return policy{}, fmt.Errorf("Policy returned a delay of %v", d)
		}
		t.table = append(t.table, d)
	}
	p.Reset()
	return t, nil
}

// delay returns the delay after the given attempt, from 1, before jitter. It
// takes the same time for every attempt and cannot overflow.
func (p *policy) delay(attempt int) (d time.Duration, stop bool) {
	if p.table != nil {
		switch {
		case attempt <= len(p.table):
			return p.table[attempt-1], false
		case p.stops:
			return 0, true
		default:
			return p.table[len(p.table)-1], false
		}
	}
	f := float64(p.min) * math.Pow(p.multiplier, float64(attempt-1))
	if f >= float64(p.max) { // infinity too
		return p.max, false
	}
	return time.Duration(f), false
}
