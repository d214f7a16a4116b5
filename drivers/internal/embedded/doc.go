// Package embedded is the common part of the drivers of the embedded queue: the
// port over a [queue.Engine] with any store, and the parameters of their URLs.
package embedded
