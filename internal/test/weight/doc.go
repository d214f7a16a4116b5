// Package weight has no code but tests: they hold the sizes of programs.
package weight
