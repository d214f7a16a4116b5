// Package noun counts things in words.
package noun

import (
	"fmt"
	"strings"
)

// Counted returns a number with its noun, which is given in the singular.
func Counted[N int | int64](n N, one string) string {
	if n == 1 {
		return "1 " + one
	}
	if stem, ok := strings.CutSuffix(one, "y"); ok {
		return fmt.Sprintf("%d %sies", n, stem)
	}
	return fmt.Sprintf("%d %ss", n, one)
}
