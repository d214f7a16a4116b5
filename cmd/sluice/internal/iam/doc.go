// Package iam knows which permissions the commands need on each cloud: one table of the
// calls that the drivers make, by what a program is permitted to do. Tests compare it with
// recorded calls, in both directions, and docs/iam.md with it.
package iam
