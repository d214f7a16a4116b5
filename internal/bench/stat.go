package main

import "slices"

// A stat is what the runs of one peer measured of one thing.
type stat struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
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
