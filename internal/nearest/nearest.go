// Package nearest finds the known word that a mistyped one was meant to be.
package nearest

// Of returns the word of known that is nearest to got by edit distance, or ""
// if none is near enough.
func Of(got string, known []string) string {
	best, bestDistance := "", len(got)/2+2
	for _, k := range known {
		if d := distance(got, k); d < bestDistance {
			best, bestDistance = k, d
		}
	}
	return best
}

// distance is Levenshtein's, over bytes: the words are ASCII keys.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
