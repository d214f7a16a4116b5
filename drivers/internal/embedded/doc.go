// Package embedded is what the drivers of the embedded queue have in common:
// the port over an [queue.Engine], whichever store it has, and the parameters of
// their URLs.
package embedded
