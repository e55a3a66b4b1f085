// One frame of the camera, as a bitmap.

const viewfinder = document.getElementById("viewfinder");
const video = viewfinder.querySelector("video");

export const hasCamera = Boolean(navigator.mediaDevices?.getUserMedia);

/** The frame that the visitor takes; null if they close the viewfinder. */
export async function takePhoto() {
  const wanted = { facingMode: "environment", width: { ideal: 1280 }, height: { ideal: 960 } };
  const stream = await navigator.mediaDevices.getUserMedia({ video: wanted });
  video.srcObject = stream;
  viewfinder.showModal();
  try {
    return await new Promise((resolve, reject) => {
      document.getElementById("take").onclick = () => {
        if (video.videoWidth) createImageBitmap(video).then(resolve, reject);
      };
      document.getElementById("close").onclick = () => resolve(null);
      viewfinder.oncancel = () => resolve(null); // the Escape key
    });
  } finally {
    viewfinder.close();
    video.srcObject = null;
    for (const track of stream.getTracks()) track.stop();
  }
}
