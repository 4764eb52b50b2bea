/**
 * Counts down to the moment when another attempt makes sense. It expects
 * `<p data-wait="seconds" hidden><span role="timer"></span><span role="status"></span></p>`. A screen reader is not
 * told every second, but the end.
 */
export function countDown(element: HTMLElement, seconds: number): void {
  const end = Date.now() + seconds * 1000;
  const [timer, status] = [element.querySelector('[role=timer]'), element.querySelector('[role=status]')];
  element.dataset.wait = String(end);
  element.hidden = false;
  const tick = () => {
    // Another wait has begun, or this one was cancelled.
    if (!timer || !status || element.dataset.wait !== String(end)) return;
    const left = Math.max(0, Math.ceil((end - Date.now()) / 1000));
    timer.textContent = left > 0 ? `Time left: ${clock(left)}` : '';
    status.textContent = left > 0 ? '' : 'You can try again now.';
    if (left > 0) setTimeout(tick, 500);
  };
  tick();
}

/** Hides the wait, if one was shown. */
export function stopCounting(element: HTMLElement): void {
  element.dataset.wait = '';
  element.hidden = true;
}

/** "0:42", "14:05", "1:00:00". */
function clock(seconds: number): string {
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  const two = (part: number) => String(part).padStart(2, '0');
  const rest = two(seconds % 60);
  return hours > 0 ? `${hours}:${two(minutes)}:${rest}` : `${minutes}:${rest}`;
}
