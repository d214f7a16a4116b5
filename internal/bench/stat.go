package main

import "slices"

// A stat is what the runs of one peer measured of one thing.
type stat struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// judged returns the value that targets compare. It is the best run of a rate or of a cost:
// what else the machine and a server do only makes runs slower, by up to a factor of two. It is
// the median of anything else.
func (s stat) judged(metric string) float64 {
	switch metric {
	case metricRate:
		return s.Max
	case metricTime, metricCPU:
		return s.Min
	default:
		return s.Median
	}
}

// summarize takes the median, the least and the most of each metric. A metric
// that a run has not counts as zero there: an action that it did not need.
func summarize(runs []sample) map[string]stat {
	values := map[string][]float64{}
	for _, s := range runs {
		for name := range s {
			values[name] = nil
		}
	}
	stats := make(map[string]stat, len(values))
	for name := range values {
		vs := make([]float64, len(runs))
		for i, s := range runs {
			vs[i] = s[name]
		}
		slices.Sort(vs)
		n := len(vs)
		stats[name] = stat{Median: (vs[(n-1)/2] + vs[n/2]) / 2, Min: vs[0], Max: vs[n-1]}
	}
	return stats
}
